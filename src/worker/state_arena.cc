#include "worker/state_arena.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "crypto/hash.h"

namespace aioss::worker {
namespace {

constexpr std::uint64_t kMagic = 0x3130'7865'6670'7361;  // "aspfex01"
constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kLine = 64;
constexpr std::uint32_t kWhole = 0x454c'4f48;  // the mark of an entry that counts

constexpr std::uint64_t up(std::uint64_t value, std::uint64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

constexpr std::uint64_t tokens_bytes(std::uint64_t count) {
  return up(count * sizeof(StateArena::Token), kLine);
}

}  // namespace

struct StateArena::Head {
  std::uint64_t magic;
  std::uint64_t bytes;  // of the whole
  std::uint64_t unused[6];
};

struct StateArena::Record {
  std::uint32_t mark;
  std::uint32_t token_count;
  std::uint64_t tenant;
  std::uint64_t offset, size;  // of the extent
  std::uint64_t state_bytes;
  std::uint8_t digest[16];
  std::uint64_t unused;
};

namespace {
constexpr std::uint64_t kRecordBytes = 64;
constexpr std::uint64_t kDataFrom =
    (64 + StateArena::kEntriesMax * kRecordBytes + kPage - 1) / kPage * kPage;
}  // namespace

StateArena::StateArena(os::SharedMapping memory)
    : memory_(std::move(memory)), size_(memory_.bytes().size() / kPage * kPage) {
  static_assert(sizeof(Head) == 64 && sizeof(Record) == kRecordBytes);
  extents_.resize(kEntriesMax);
  if (size_ > kDataFrom) free_.emplace(kDataFrom, size_ - kDataFrom);
}

StateArena::Head& StateArena::head() const {
  return *reinterpret_cast<Head*>(memory_.bytes().data());
}

StateArena::Record& StateArena::record(Number number) const {
  return *reinterpret_cast<Record*>(memory_.bytes().data() + sizeof(Head) + number * kRecordBytes);
}

void StateArena::format() {
  memory_.discard(0, memory_.bytes().size());
  head().bytes = size_;
  head().magic = kMagic;
}

std::span<const StateArena::Token> StateArena::tokens_of(const Record& of) const {
  return {reinterpret_cast<const Token*>(memory_.bytes().data() + of.offset), of.token_count};
}

// Of all that the entry says of itself, and of its tokens.
Digest StateArena::digest_of(const Record& of) const {
  const std::uint64_t numbers[] = {of.token_count, of.tenant, of.offset, of.size, of.state_bytes};
  const std::span<const Token> tokens = tokens_of(of);
  return crypto::sha3_256(
      {ByteView(reinterpret_cast<const std::uint8_t*>(numbers), sizeof numbers),
       ByteView(reinterpret_cast<const std::uint8_t*>(tokens.data()), tokens.size_bytes())});
}

bool StateArena::is_whole(const Record& found) const {
  if (found.mark != kWhole) return false;
  if (found.token_count == 0 || found.token_count > kTokensMax) return false;
  if (found.offset % kPage != 0 || found.size % kPage != 0 || found.offset < kDataFrom)
    return false;
  if (found.offset > size_ || found.size > size_ - found.offset) return false;
  const std::uint64_t tokens = tokens_bytes(found.token_count);
  if (tokens > found.size || found.state_bytes > found.size - tokens) return false;
  const Digest digest = digest_of(found);
  return std::equal(std::begin(found.digest), std::end(found.digest), digest.begin());
}

// Out of the free ones. False: it is not wholly free.
bool StateArena::take(const Extent& extent) {
  auto around = free_.upper_bound(extent.offset);
  if (around == free_.begin()) return false;
  --around;
  const auto [offset, size] = *around;
  if (extent.offset + extent.size > offset + size) return false;
  free_.erase(around);
  if (extent.offset > offset) free_.emplace(offset, extent.offset - offset);
  const std::uint64_t end = extent.offset + extent.size;
  if (end < offset + size) free_.emplace(end, offset + size - end);
  used_ += extent.size;
  return true;
}

std::vector<StateArena::Entry> StateArena::adopt() {
  std::vector<Entry> entries;
  if (size_ <= kDataFrom) return entries;
  if (head().magic != kMagic || head().bytes != size_) {
    format();
    return entries;
  }
  for (Number number = 0; number < kEntriesMax; ++number) {
    Record& found = record(number);
    const Record copy = found;
    if (!is_whole(copy) || !take({copy.offset, copy.size})) {
      memory_.discard(sizeof(Head) + number * kRecordBytes, kRecordBytes);
      continue;
    }
    extents_[number] = {copy.offset, copy.size};
    const std::span<const Token> tokens = tokens_of(copy);
    entries.push_back({number, copy.tenant, {tokens.begin(), tokens.end()}});
  }
  // What a worker was writing when it was killed, and what belongs to no entry.
  for (const auto& [offset, size] : free_) memory_.discard(offset, size);
  return entries;
}

bool StateArena::could_hold(std::size_t token_count, std::size_t state_bytes) const {
  return size_ > kDataFrom && token_count <= kTokensMax && state_bytes <= size_ &&
         up(tokens_bytes(token_count) + state_bytes, kPage) <= size_ - kDataFrom;
}

// The smallest that is large enough, so that large ones stay whole.
std::optional<std::uint64_t> StateArena::find_room(std::uint64_t size) const {
  auto best = free_.end();
  for (auto it = free_.begin(); it != free_.end(); ++it) {
    if (it->second >= size && (best == free_.end() || it->second < best->second)) best = it;
  }
  if (best == free_.end()) return std::nullopt;
  return best->first;
}

std::optional<StateArena::Number> StateArena::reserve(std::uint64_t tenant,
                                                      std::span<const Token> tokens,
                                                      std::size_t state_bytes) {
  ASSERT(!tokens.empty());
  if (!could_hold(tokens.size(), state_bytes)) return std::nullopt;
  const auto number = std::find_if(extents_.begin(), extents_.end(),
                                   [](const Extent& extent) { return extent.size == 0; });
  const std::uint64_t size = up(tokens_bytes(tokens.size()) + state_bytes, kPage);
  const std::optional<std::uint64_t> offset = find_room(size);
  if (number == extents_.end() || !offset) return std::nullopt;
  *number = {*offset, size};
  ASSERT(take(*number));
  const auto chosen = static_cast<Number>(number - extents_.begin());
  Record& entry = record(chosen);
  entry = {.mark = 0,
           .token_count = static_cast<std::uint32_t>(tokens.size()),
           .tenant = tenant,
           .offset = *offset,
           .size = size,
           .state_bytes = 0,
           .digest = {},
           .unused = 0};
  std::memcpy(memory_.bytes().data() + *offset, tokens.data(), tokens.size_bytes());
  return chosen;
}

std::span<std::uint8_t> StateArena::room(Number number) {
  const Extent& extent = extents_.at(number);
  ASSERT(extent.size > 0);
  const std::uint64_t tokens = tokens_bytes(record(number).token_count);
  return memory_.bytes().subspan(extent.offset + tokens, extent.size - tokens);
}

void StateArena::commit(Number number, std::size_t state_bytes) {
  ASSERT(state_bytes <= room(number).size());
  Record& entry = record(number);
  entry.state_bytes = state_bytes;
  const Digest digest = digest_of(entry);
  std::copy_n(digest.begin(), sizeof entry.digest, std::begin(entry.digest));
  std::atomic_ref<std::uint32_t>(entry.mark).store(kWhole, std::memory_order_release);
}

ByteView StateArena::state(Number number) const {
  const Extent& extent = extents_.at(number);
  const Record& entry = record(number);
  ASSERT(extent.size > 0 && entry.mark == kWhole);
  return memory_.bytes().subspan(extent.offset + tokens_bytes(entry.token_count),
                                 entry.state_bytes);
}

void StateArena::drop(Number number) {
  const Extent extent = std::exchange(extents_.at(number), Extent{});
  ASSERT(extent.size > 0);
  std::atomic_ref<std::uint32_t>(record(number).mark).store(0, std::memory_order_release);
  record(number) = {};  // its digest would still tell which tokens they were
  memory_.discard(extent.offset, extent.size);
  used_ -= extent.size;
  Extent hole = extent;  // together with its neighbours
  const auto after = free_.find(extent.offset + extent.size);
  if (after != free_.end()) {
    hole.size += after->second;
    free_.erase(after);
  }
  auto before = free_.lower_bound(extent.offset);
  if (before != free_.begin()) {
    --before;
    if (before->first + before->second == hole.offset) {
      hole = {before->first, before->second + hole.size};
      free_.erase(before);
    }
  }
  free_[hole.offset] = hole.size;
}

}  // namespace aioss::worker
