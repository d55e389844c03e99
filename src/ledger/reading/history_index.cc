#include "ledger/reading/history_index.h"

#include <algorithm>
#include <span>

#include "base/assert.h"

namespace aioss::ledger {
namespace {

Digest fold(ChainHasher& hasher, std::span<const Digest> roots) {
  MerkleTree tree;
  for (const Digest& root : roots) tree.add(root, hasher);
  return tree.root(hasher);
}

}  // namespace

void HistoryIndex::add(const RecordPlace& place) {
  ASSERT(place.index == next_);
  const bool new_segment = segments_.empty() || segments_.back() != place.segment_first;
  const bool new_block = block_.size() == 0;
  if (new_segment || new_block || place.ends_request || place.type == RecordType::kKeyRotate) {
    std::lock_guard lock(mutex_);
    if (new_segment) segments_.push_back(place.segment_first);
    if (new_block) places_.push_back({place.offset, place.segment_first});
    if (place.type == RecordType::kKeyRotate) rotations_.push_back(place.index);
    if (place.ends_request && crash_aborts_.size() < kCrashAbortsMax) {
      crash_aborts_.insert_or_assign(*place.ends_request, place.index);
    }
  }
  block_.add(place.leaf, hasher_);
  ++next_;
  if (block_.size() == kBlockRecords) finish_block();
}

void HistoryIndex::finish_block() {
  Digest root = block_.root(hasher_);
  block_ = MerkleTree();
  for (std::vector<Digest>& row : rows_) {
    {
      std::lock_guard lock(mutex_);
      row.push_back(root);
    }
    if (row.size() % kBlockRecords != 0) return;
    root = fold(hasher_, std::span(row).last(kBlockRecords));
  }
}

void HistoryIndex::publish(std::uint64_t size) {
  ASSERT(size <= next_);
  std::lock_guard lock(mutex_);
  size_ = size;
}

std::uint64_t HistoryIndex::size() const {
  std::lock_guard lock(mutex_);
  return size_;
}

HistoryIndex::Start HistoryIndex::block_start(std::uint64_t block) const {
  std::lock_guard lock(mutex_);
  ASSERT(block < places_.size());
  const Place& place = places_[block];
  return {block * kBlockRecords, place.segment_first, place.offset};
}

HistoryIndex::Start HistoryIndex::start_before(std::uint64_t segment_first,
                                               std::uint64_t offset) const {
  std::lock_guard lock(mutex_);
  const auto comes_after = [&](const Place& place) {
    return place.segment_first > segment_first ||
           (place.segment_first == segment_first && place.offset > offset);
  };
  const auto next = std::partition_point(places_.begin(), places_.end(),
                                         [&](const Place& place) { return !comes_after(place); });
  if (next != places_.begin() && std::prev(next)->segment_first == segment_first) {
    const auto block = static_cast<std::uint64_t>(std::prev(next) - places_.begin());
    return {block * kBlockRecords, segment_first, std::prev(next)->offset};
  }
  return {segment_first, segment_first, kSegmentHeaderBytes};
}

std::vector<std::uint64_t> HistoryIndex::segments() const {
  std::lock_guard lock(mutex_);
  std::vector<std::uint64_t> out = segments_;
  while (!out.empty() && out.back() >= size_) out.pop_back();
  return out;
}

std::optional<std::uint64_t> HistoryIndex::segment_after(std::uint64_t segment_first) const {
  std::lock_guard lock(mutex_);
  const auto next = std::upper_bound(segments_.begin(), segments_.end(), segment_first);
  return next == segments_.end() ? std::nullopt : std::optional(*next);
}

Digest HistoryIndex::subtree(unsigned level, std::uint64_t first) const {
  ASSERT(level >= kBlockLevel && level < kBlockLevel * (kRowsMax + 1));
  const unsigned row = level / kBlockLevel - 1;
  const unsigned row_level = (row + 1) * kBlockLevel;
  const std::uint64_t begin = first >> row_level;
  const std::uint64_t count = std::uint64_t{1} << (level - row_level);
  std::vector<Digest> roots;
  {
    std::lock_guard lock(mutex_);
    ASSERT(begin + count <= rows_[row].size());
    const auto from = rows_[row].begin() + static_cast<std::ptrdiff_t>(begin);
    roots.assign(from, from + static_cast<std::ptrdiff_t>(count));
  }
  ChainHasher hasher;
  return fold(hasher, roots);
}

std::vector<std::uint64_t> HistoryIndex::rotations() const {
  std::lock_guard lock(mutex_);
  return rotations_;
}

std::optional<std::uint64_t> HistoryIndex::crash_abort_of(std::uint64_t request) const {
  std::lock_guard lock(mutex_);
  const auto found = crash_aborts_.find(request);
  return found == crash_aborts_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace aioss::ledger
