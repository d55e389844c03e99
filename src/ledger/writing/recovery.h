// What happens between "there is a ledger on the disk" and "it can be appended to": judge what is
// there, put a torn end aside, and say where to go on. Blocking; the caller holds the ledger's
// lock.
//
// Rules, each with a test (docs/formats/ledger.md, section 7): a torn tail is copied to quarantine/
// and cut; anything that no crash explains is refused and left exactly as it is.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "crypto/ed25519.h"
#include "ledger/format/epochs.h"
#include "ledger/writing/appender.h"
#include "ledger/writing/leftovers.h"
#include "os/file.h"

namespace aioss::ledger {

struct RecoveryOptions {
  std::string directory;
  std::vector<crypto::PublicKey> own_keys;  // one of them must be in force
  // Each good record of a type that is wanted, in order. Both or neither.
  std::function<bool(RecordType)> wants = {};
  std::function<void(const Record&)> visit = {};
};

struct Recovered {
  std::string origin;
  KeyEpochs epochs;
  Position position;
  bool needs_segment = false;  // the last segment is sealed, or its successor was taken away
  std::vector<codec::Map> recovery_bodies;  // of the RECOVERY records to write
  std::int64_t last_wall_ns = 0;            // of the last record
  Leftovers leftovers;
};

// `index` gets every record that stays.
Result<Recovered> recover(os::FileSystem& fs, const RecoveryOptions& options, HistoryIndex& index);

}  // namespace aioss::ledger
