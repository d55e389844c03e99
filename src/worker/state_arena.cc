#include "worker/state_arena.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

#include "base/assert.h"

namespace aioss::worker {
namespace {

constexpr std::uint64_t kPage = ipc::kPrefixPage;
constexpr std::uint64_t kDataFrom = ipc::kPrefixDataFrom;
constexpr std::uint64_t kRecordBytes = sizeof(ipc::PrefixRecord);

}  // namespace

StateArena::StateArena(os::SharedMapping memory)
    : memory_(std::move(memory)), size_(memory_.bytes().size() / kPage * kPage) {
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
  head().magic = ipc::kPrefixMagic;
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
  if (head().magic != ipc::kPrefixMagic || head().bytes != size_) {
    format();
    return entries;
  }
  for (Number number = 0; number < kEntriesMax; ++number) {
    Record& found = record(number);
    const Record copy = found;
    const auto parts = ipc::whole_prefix(copy, memory_.bytes());
    if (!parts || !take({copy.offset, copy.size})) {
      memory_.discard(sizeof(Head) + number * kRecordBytes, kRecordBytes);
      continue;
    }
    extents_[number] = {copy.offset, copy.size};
    entries.push_back(
        {number, {copy.tenant, copy.owner}, {parts->tokens.begin(), parts->tokens.end()}});
  }
  // What a worker was writing when it was killed, and what belongs to no entry.
  for (const auto& [offset, size] : free_) memory_.discard(offset, size);
  return entries;
}

bool StateArena::could_hold(std::size_t token_count, std::size_t state_bytes) const {
  return size_ > kDataFrom && token_count <= kTokensMax && state_bytes <= size_ &&
         ipc::prefix_extent_bytes(token_count, state_bytes) <= size_ - kDataFrom;
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

std::optional<StateArena::Number> StateArena::reserve(Whose whose, std::span<const Token> tokens,
                                                      std::size_t state_bytes) {
  ASSERT(!tokens.empty());
  if (!could_hold(tokens.size(), state_bytes)) return std::nullopt;
  const auto number = std::find_if(extents_.begin(), extents_.end(),
                                   [](const Extent& extent) { return extent.size == 0; });
  const std::uint64_t size = ipc::prefix_extent_bytes(tokens.size(), state_bytes);
  const std::optional<std::uint64_t> offset = find_room(size);
  if (number == extents_.end() || !offset) return std::nullopt;
  *number = {*offset, size};
  ASSERT(take(*number));
  const auto chosen = static_cast<Number>(number - extents_.begin());
  Record& entry = record(chosen);
  entry = {.mark = 0,
           .token_count = static_cast<std::uint32_t>(tokens.size()),
           .tenant = whose.tenant,
           .offset = *offset,
           .size = size,
           .state_bytes = 0,
           .digest = {},
           .owner = whose.owner};
  std::memcpy(memory_.bytes().data() + *offset, tokens.data(), tokens.size_bytes());
  return chosen;
}

std::span<std::uint8_t> StateArena::room(Number number) {
  const Extent& extent = extents_.at(number);
  ASSERT(extent.size > 0);
  const std::uint64_t tokens = ipc::prefix_tokens_bytes(record(number).token_count);
  return memory_.bytes().subspan(extent.offset + tokens, extent.size - tokens);
}

void StateArena::commit(Number number, std::size_t state_bytes) {
  ASSERT(state_bytes <= room(number).size());
  Record& entry = record(number);
  entry.state_bytes = state_bytes;
  const auto* const tokens =
      reinterpret_cast<const Token*>(memory_.bytes().data() + extents_.at(number).offset);
  const Digest digest = ipc::prefix_digest(entry, {tokens, entry.token_count});
  std::copy_n(digest.begin(), sizeof entry.digest, std::begin(entry.digest));
  std::atomic_ref<std::uint32_t>(entry.mark).store(ipc::kPrefixWhole, std::memory_order_release);
}

ByteView StateArena::state(Number number) const {
  const Extent& extent = extents_.at(number);
  const Record& entry = record(number);
  ASSERT(extent.size > 0 && entry.mark == ipc::kPrefixWhole);
  return memory_.bytes().subspan(extent.offset + ipc::prefix_tokens_bytes(entry.token_count),
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
