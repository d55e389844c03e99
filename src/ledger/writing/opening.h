// From a folder to a ledger that can be appended to: lock, keys, recovery, and the records that
// have to stand there before any other. Blocking; no thread of its own yet.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "crypto/random.h"
#include "ledger/reading/history_index.h"
#include "ledger/reading/standing.h"
#include "ledger/writing/appender.h"
#include "ledger/writing/directory.h"
#include "ledger/writing/ledger.h"
#include "ledger/writing/policy.h"
#include "ledger/writing/signer.h"
#include "os/file.h"

namespace aioss::ledger {

// The last part of the reserve is left for what ends the program.
inline constexpr std::uint64_t kReserveParts = 16;

struct Opened {
  LockedDirectory directory;
  std::unique_ptr<Signer> signer;
  Identity identity;
  std::optional<Program> last_program;
  ControlBook controls;
  Standing standing;
  std::unique_ptr<HistoryIndex> index;
  std::unique_ptr<Appender> appender;  // with that index
  std::string checkpoint;              // the signed note on the disk
  std::uint64_t checkpoint_size = 0;
};
// As Ledger::open() says. The references outlive what is returned.
Result<Opened> open_directory(os::FileSystem& fs, const Clock& clock, crypto::Random& random,
                              const OpenOptions& options);

}  // namespace aioss::ledger
