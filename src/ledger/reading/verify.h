// Verification of a ledger on disk by anyone with its public key: no model, no engine, no gateway,
// no lock, and nothing is changed. Reads untrusted bytes; memory does not grow with the ledger.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "ledger/format/checkpoint.h"
#include "ledger/format/record.h"
#include "ledger/reading/payloads.h"
#include "os/file.h"

namespace aioss::ledger {

// Also the exit code of `aioss verify`. Severity: 4 > 3 > 2 > 8 > 7 > 6 > 5, but a torn tail is
// reported before a missing key.
enum class Verdict : int {
  kOk = 0,
  kUsage = 1,  // usage or I/O
  kTampered = 2,
  kTruncated = 3,  // shorter than the checkpoint
  kFork = 4,
  kTornTail = 5,
  kUnknown = 6,  // unknown version, type, or no key: self-consistent, untrusted
  kPayloadMissing = 7,
  kReplayMismatch = 8,
};
std::string_view name(Verdict verdict);
// Whether `verdict` outranks `other`.
bool is_worse(Verdict verdict, Verdict other);

// A checkpoint of the ledger that somebody kept elsewhere: the verifier, or a receipt.
struct KeptNote {
  std::string what;  // "the checkpoint given with --since"
  Note note;
};
enum class NoteState {
  kUnchecked,  // reading ended before its size
  kHolds,
  kNotOwn,     // not signed by a key of the ledger
  kOtherRoot,  // signed over another history
  kBeyond,     // covers more records than there are
};

struct VerifyOptions {
  std::string directory;
  std::string verifier_key = {};  // "" gives at best kUnknown
  // Called with (bytes done, bytes in all), now and then.
  std::function<void(std::uint64_t, std::uint64_t)> progress = {};
  std::vector<KeptNote> kept = {};
  bool payloads = false;  // also look for every sealed text that a record names
};

struct VerifyReport {
  Verdict verdict = Verdict::kUsage;
  std::string finding;  // one sentence: what is wrong and where, or what was proven
  std::string origin;
  std::uint64_t records = 0;
  std::uint64_t segments = 0;
  std::uint64_t bytes = 0;
  std::optional<std::uint64_t> bad_index;  // first bad record
  std::optional<std::string> bad_file;
  std::optional<std::uint64_t> bad_offset;
  std::optional<std::uint64_t> checkpoint_size;  // records covered by the newest valid checkpoint
  std::int64_t first_wall_ns = 0, last_wall_ns = 0;
  std::string head_chain_hex, root_hex;
  std::uint64_t dangling_requests = 0;  // INFER_REQUEST without result or abort
  std::optional<Note> checkpoint;       // the ledger's own, if it could be read
  NoteState checkpoint_state = NoteState::kUnchecked;
  std::vector<NoteState> kept;  // of VerifyOptions::kept
  // Of which only hashes are left, because their retention ended.
  std::uint64_t pruned_records = 0, pruned_segments = 0;
  std::optional<PayloadReport> payloads;  // if it was asked for, and the records are good
};

VerifyReport verify(os::FileSystem& fs, const VerifyOptions& options);

// Reads records in order for `ledger tail|show`: frames and chain are checked on the way. The
// visitor returns false to stop. kCorrupt at the first bad byte (after visiting everything before
// it).
Status read_records(os::FileSystem& fs, const std::string& directory, std::uint64_t from_index,
                    const std::function<bool(const Record&)>& visit);

}  // namespace aioss::ledger
