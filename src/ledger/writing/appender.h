// The end of the ledger: turns bodies into frames and makes them durable, group by group, and goes
// from one segment file to the next. Blocking, without a thread of its own; ledger.cc gives it one.
// After any call has failed the object must not be used again: what is on the disk is then not
// known.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "ledger/format/chain.h"
#include "ledger/format/format.h"
#include "ledger/reading/history_index.h"
#include "ledger/reading/walk.h"
#include "ledger/writing/ledger.h"
#include "os/file.h"

namespace aioss::ledger {

// The entries of a body without the common keys and without the map's head, which come later.
struct EncodedBody {
  Bytes entries;
  std::uint64_t count = 0;
  std::optional<std::uint64_t> ref_index;
  bool has_request_id = false;
};
// The common keys and the head need less than this.
inline constexpr std::size_t kCommonBytesMax = 135;
inline constexpr std::size_t kOwnBytesMax = kBodyBytesMax - kCommonBytesMax;
// kTooLarge over kOwnBytesMax.
Result<EncodedBody> encode_own(const codec::Map& body);

struct InstanceInfo {
  std::optional<std::array<std::uint8_t, 16>> boot_id;
  std::array<std::uint8_t, 16> instance_id{};
};

struct Position {  // where to go on
  LedgerId ledger_id{};
  std::uint64_t next_index = 0;
  Digest chain{};
  MerkleTree tree;
  SegmentState segment;  // the live one, or the last sealed one
  std::set<std::uint64_t> open_requests;
};

// A commit group: enough that a sync costs little a record, small enough to write in a few
// milliseconds.
inline constexpr std::size_t kGroupBytesMax = 1U << 20;

class Appender final {
 public:
  // The references outlive the appender.
  Appender(os::FileSystem& fs, const Clock& clock, std::string directory, InstanceInfo instance,
           Position position);

  // Told of every record that is staged; outlives the appender. Publishing is up to its owner.
  void set_index(HistoryIndex* index) { index_ = index; }

  // The first segment of a new ledger. Its file appears under its name when `publish` is called,
  // with everything staged before that.
  void start_ledger(const EncodedBody& genesis);
  Status publish();
  // The segment after the last one, which is sealed.
  Status start_segment();
  // Continues the live segment, which recovery has made durable.
  Status reopen();

  // The record's place is fixed now; it is durable after commit().
  Committed stage(RecordType type, const EncodedBody& body);
  std::size_t staged_bytes() const { return buffer_.size(); }
  Status commit();  // one write, one sync
  // Ends the live segment; start_segment() goes on.
  Status seal();

  const InstanceInfo& instance() const { return instance_; }
  std::uint64_t next_index() const { return at_.next_index; }
  const MerkleTree& tree() const { return at_.tree; }
  std::uint64_t segment_bytes() const { return at_.segment.bytes; }
  std::int64_t segment_age_ns() const;

 private:
  void begin_segment();
  Status write_all(os::File& file, std::uint64_t offset);
  void append_common(const EncodedBody& body);
  void tell_index(RecordType type, const EncodedBody& body, const Digest& leaf);
  std::string path(std::string_view file) const;

  os::FileSystem& fs_;
  const Clock& clock_;
  const std::string directory_;
  const InstanceInfo instance_;
  Position at_;
  HistoryIndex* index_ = nullptr;
  ChainHasher hasher_;
  std::unique_ptr<os::File> file_;  // the live segment
  Bytes buffer_;                    // staged frames
  Bytes body_;                      // of the record being staged
  std::uint64_t group_ = 0;         // records staged in this group
};

}  // namespace aioss::ledger
