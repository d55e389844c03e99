// What a running ledger keeps in memory of everything that it holds, so that old records can be
// found and proven while it is written to: for each full block of 256 records the root over it and
// the place of its first record, 48 bytes; and above the blocks the roots of 256, 65,536, … of
// them, so that no proof reads more than a few hundred digests. Ten million records take 2 MB.
//
// The ledger thread adds records in order (recovery's walk before there is such a thread) and
// publishes what is durable; any thread reads what is below the published size.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "ledger/format/chain.h"
#include "ledger/format/record.h"

namespace aioss::ledger {

struct RecordPlace {
  std::uint64_t index = 0;
  RecordType type{};
  Digest leaf{};
  std::uint64_t segment_first = 0;  // index of the first record of its segment: the file's name
  std::uint64_t offset = 0;         // of its frame in that file
  // Of an INFER_ABORT without a request id, which recovery writes: the request that it ends.
  std::optional<std::uint64_t> ends_request = {};
};

class HistoryIndex final {
 public:
  static constexpr unsigned kBlockLevel = 8;
  static constexpr std::uint64_t kBlockRecords = std::uint64_t{1} << kBlockLevel;

  HistoryIndex() = default;
  HistoryIndex(const HistoryIndex&) = delete;
  HistoryIndex& operator=(const HistoryIndex&) = delete;

  // The writer: the next record, with the index that follows the one before.
  void add(const RecordPlace& place);
  // Everything added so far below `size` is durable, and may be read.
  void publish(std::uint64_t size);

  std::uint64_t size() const;  // as published
  struct Start {               // where reading can begin
    std::uint64_t index = 0;
    std::uint64_t segment_first = 0;
    std::uint64_t offset = 0;
  };
  Start block_start(std::uint64_t block) const;  // block * kBlockRecords < size()
  // The last start in that segment at or before `offset`.
  Start start_before(std::uint64_t segment_first, std::uint64_t offset) const;
  // First indices of the segments that begin below size(), ascending.
  std::vector<std::uint64_t> segments() const;
  // The segment after the one that begins at that index; nothing if there is none yet.
  std::optional<std::uint64_t> segment_after(std::uint64_t segment_first) const;
  // The root over 2^level records from `first` on; level >= kBlockLevel, and all of them published.
  Digest subtree(unsigned level, std::uint64_t first) const;
  std::vector<std::uint64_t> rotations() const;  // indices of KEY_ROTATE records
  // The INFER_ABORT that recovery wrote for a request, among the first kCrashAbortsMax of them.
  std::optional<std::uint64_t> crash_abort_of(std::uint64_t request) const;

 private:
  static constexpr std::size_t kCrashAbortsMax = 65'536;
  static constexpr std::size_t kRowsMax = 7;  // 8 bits of the index each, above the lowest 8
  struct Place {
    std::uint64_t offset = 0;
    std::uint64_t segment_first = 0;
  };

  void finish_block();

  // The writer's own.
  ChainHasher hasher_;
  MerkleTree block_;
  std::uint64_t next_ = 0;

  mutable std::mutex mutex_;  // guards what follows; the writer reads it without
  std::uint64_t size_ = 0;
  std::vector<std::uint64_t> segments_;
  std::vector<Place> places_;             // of the first record of each block, also of the last one
  std::vector<Digest> rows_[kRowsMax];    // roots over 2^8, 2^16, … records
  std::vector<std::uint64_t> rotations_;  // one for each KEY_ROTATE: a handful in years
  std::unordered_map<std::uint64_t, std::uint64_t> crash_aborts_;
};

}  // namespace aioss::ledger
