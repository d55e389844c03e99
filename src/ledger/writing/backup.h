// Copies of a ledger that can be verified, and brought back without a second history in secret.
//
// back_up() works beside a running writer and takes no lock: it reads the checkpoint first, then
// copies every segment, the last one up to its last good record, and makes sure that the writer's
// disk holds what was copied. The copy is verified like any ledger; it is finished when it has its
// backup.json, and never opened for writing. restore() makes a ledger of it that is marked
// (ledger/writing/restored.h). Blocking.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "os/file.h"

namespace aioss::ledger {

inline constexpr std::string_view kBackupFile = "backup.json";

// kUnsupported, with what to do, if the folder is a backup.
Status refuse_backup(os::FileSystem& fs, const std::string& directory);

struct BackupOptions {
  std::string directory;
  std::string destination;  // absent or empty
  bool with_keys = false;   // only if a passphrase protects them, or:
  bool unprotected_keys = false;
  std::string verifier_key = {};  // to verify the copy with; "": the ledger's own
  std::function<void(std::uint64_t, std::uint64_t)> progress = {};  // bytes verified, in all
};

struct BackupReport {
  std::string origin;
  std::uint64_t records = 0;
  std::uint64_t checkpoint_size = 0;  // records of the copy that its checkpoint covers
  std::uint64_t bytes = 0;            // copied
  std::string keys;                   // "none", "passphrase", "unprotected"
};

// kConflict: the destination is not empty. kForbidden: keys that nothing protects. kCorrupt: the
// copy does not verify. kBusy: a key was changed meanwhile; again. After an error the destination
// holds an unfinished copy.
Result<BackupReport> back_up(os::FileSystem& fs, const Clock& clock, const BackupOptions& options);

struct RestoreOptions {
  std::string backup;
  std::string destination;        // absent or empty
  std::string verifier_key = {};  // as above
  std::string restored_by = {};   // who, for the record that the first opening writes
  std::function<void(std::uint64_t, std::uint64_t)> progress = {};
};
// kNotFound: not a finished backup. kUnsupported: to where writes can be lost, unless it is of a
// ledger for trials. Otherwise as back_up().
Result<BackupReport> restore(os::FileSystem& fs, const RestoreOptions& options);

}  // namespace aioss::ledger
