// Reading and proving the past of a running ledger, beside its writer. Every method may be called
// from any thread; each opens the segment files that it reads, holds at most one block of 256
// records' leaves and one buffer, and blocks on the disk: never on the io thread.
//
// What is read from the disk was judged when the ledger was opened or written by this process; here
// its frames are checked again (form, index, encoding), and whoever hands out a proof checks that
// it leads to the root that was signed.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "ledger/format/format.h"
#include "ledger/format/proof.h"
#include "ledger/format/record.h"
#include "ledger/reading/history_index.h"
#include "os/file.h"

namespace aioss::ledger {

struct StoredRecord {
  Bytes frame;  // whole
  Record record;
};

// One request's records. `end` is INFER_RESULT or INFER_ABORT; nothing while it has none.
struct RequestRecords {
  std::optional<StoredRecord> request;  // nothing: it was refused before it was recorded
  std::optional<StoredRecord> end;
};

class History final {
 public:
  // How far back a request is looked for, from the newest record on: a few million records.
  static constexpr std::uint64_t kSearchBytesMax = 2ULL << 30;

  // The references outlive the object.
  History(os::FileSystem& fs, std::string directory, const LedgerId& ledger_id,
          const HistoryIndex& index)
      : fs_(fs), directory_(std::move(directory)), ledger_id_(ledger_id), index_(index) {}

  std::uint64_t size() const { return index_.size(); }  // durable records
  // kNotFound from size() on, and for a record that was dropped at the end of its retention;
  // kCorrupt if the disk no longer holds what was written.
  Result<StoredRecord> record(std::uint64_t index) const;
  // kNotFound if no record of it is among the newest `bytes_max` bytes.
  Result<RequestRecords> find_request(std::string_view request_id,
                                      std::uint64_t bytes_max = kSearchBytesMax) const;
  // Frames of all KEY_ROTATE records below `size`, in order.
  Result<std::vector<Bytes>> rotations(std::uint64_t size) const;
  const LedgerId& ledger_id() const { return ledger_id_; }

  // For proofs about sizes up to size(). Keeps leaves between calls: one thread, one proof.
  class Tree final : public SubtreeSource {
   public:
    explicit Tree(const History& history) : history_(history) {}
    Result<Digest> subtree(unsigned level, std::uint64_t first) override;

   private:
    const History& history_;
    std::map<std::uint64_t, std::vector<Digest>> leaves_;  // by block; a proof needs two
  };
  Tree tree() const { return Tree(*this); }

 private:
  // Gives `visit` the frames from `start` on, in order, until it says false, or at `end`; and
  // `pruned` the records of which a retention drop left the leaf alone.
  using Visit = std::function<bool(const Frame&, ByteView frame, std::uint64_t offset)>;
  using VisitLeaf = std::function<void(std::uint64_t index, const Digest& leaf)>;
  Status scan(HistoryIndex::Start start, std::uint64_t end, const Visit& visit,
              const VisitLeaf& pruned) const;
  struct Segment;
  Result<Segment> open_segment(const HistoryIndex::Start& start) const;
  Result<std::vector<Digest>> leaves_of(std::uint64_t block) const;
  Result<StoredRecord> stored(const Frame& frame, ByteView bytes) const;
  Result<std::optional<StoredRecord>> record_at(std::uint64_t segment_first, std::uint64_t offset,
                                                std::uint64_t size) const;
  Result<RequestRecords> records_around(StoredRecord newest) const;
  std::string path_of(std::uint64_t segment_first) const;

  os::FileSystem& fs_;
  const std::string directory_;
  const LedgerId ledger_id_;
  const HistoryIndex& index_;
};

}  // namespace aioss::ledger
