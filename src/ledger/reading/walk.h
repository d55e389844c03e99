// The one pass over a ledger on disk that verification, reading and recovery share: segments in
// order, headers, frames, encoding, chain, tree, and the rules about which record stands where. It
// reads untrusted bytes, changes nothing, and its memory does not grow with the ledger.
//
// A later version may begin at a seal instead of at the first record: everything that is carried
// from one record to the next is in WalkState, and a SEGMENT_SEAL holds what is needed to make one.
//
// Of a pruned segment (ledger/format/pruned.h) only some records are there; the others count, and
// are not visited.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "ledger/format/chain.h"
#include "ledger/format/epochs.h"
#include "ledger/format/format.h"
#include "ledger/format/frame_batch.h"
#include "ledger/format/record.h"
#include "ledger/reading/history_index.h"
#include "ledger/reading/standing.h"
#include "os/file.h"

namespace aioss::ledger {

// Requests without an end that are remembered one by one. A gateway holds at most its queue and its
// streams open at a time, a few hundred; only a forged ledger reaches this.
inline constexpr std::size_t kOpenRequestsMax = 65'536;

struct GroupStart {  // of the first record of a commit group
  std::uint64_t offset = 0;
  std::uint64_t index = 0;
  Digest chain_before{};
};

struct SegmentState {
  std::string file;  // name in seg/
  SegmentHeader header;
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;  // good ones, from the front of the file
  bool sealed = false;
  GroupStart last_group = {};  // as read; an appender does not keep it up to date
  bool pruned = false;
};

struct WalkState {
  // Known once GENESIS was read.
  std::optional<std::string> origin;
  crypto::PublicKey public_key{};
  KeyEpochs epochs;  // that key and those of every KEY_ROTATE read

  std::uint64_t next_index = 0;  // = records read and found good
  Digest chain{};                // of the last of them
  MerkleTree tree;
  std::uint64_t segments = 0;
  std::uint64_t bytes = 0;                // good ones, of all segments
  SegmentState segment;                   // the last one; without a record if its beginning is torn
  SegmentState previous;                  // the one before it
  std::set<std::uint64_t> open_requests;  // INFER_REQUEST without an end
  std::uint64_t untracked_requests = 0;   // the same, beyond kOpenRequestsMax
  std::optional<std::uint64_t> first_unknown_type;  // index of the first record with one
  std::int64_t first_wall_ns = 0, last_wall_ns = 0;
  std::uint64_t pruned_segments = 0, pruned_records = 0;
  std::vector<DroppedRange> uncovered;  // pruned segments that no later RETENTION_DROP names so far
};

enum class Damage {
  kNone,
  kTornTail,        // the last write did not reach the disk whole; everything before it is good
  kWrong,           // something that no crash explains
  kUnknownVersion,  // the rest is of a later format
};

struct WalkResult {
  WalkState state;
  Damage damage = Damage::kNone;
  std::string problem;            // one clause: what is wrong
  std::string file;               // where, in seg/
  std::uint64_t offset = 0;       // of the first bad byte
  std::uint64_t tail_bytes = 0;   // from there to the end of that file
  std::optional<Digest> root_at;  // of the tree at WalkOptions::root_size, if that was reached
  std::map<std::uint64_t, Digest> roots;  // at WalkOptions::more_root_sizes, as far as reached
  bool stopped = false;                   // by the visitor
};

struct WalkOptions {
  std::string directory;
  // Of the checkpoint. A RETENTION_DROP accounts for pruned records only below it.
  std::optional<std::uint64_t> root_size = {};
  // Sees each record after it was verified, in order. false: stop.
  std::function<bool(const Record&)> visit = {};
  std::function<void(std::uint64_t, std::uint64_t)> progress = {};  // (bytes done, bytes in all)
  std::set<std::uint64_t> more_root_sizes = {};
  std::function<void(const RecordPlace&)> located = {};  // every good record, before `visit`
  // Which records `visit` is to see, by index and type; nothing: all. A body is decoded only for a
  // visitor that wants it: most of the time of a walk that only looks for a few would go there.
  std::function<bool(std::uint64_t, RecordType)> wants = {};
  std::size_t frames_at_once = kFramesAtOnce;  // for tests: the result does not depend on it
};

// An Error only where the disk could not be read, or there is no ledger (kNotFound).
Result<WalkResult> walk(os::FileSystem& fs, const WalkOptions& options);

}  // namespace aioss::ledger
