// Puts a new signing key in force: KEY_ROTATE, and a checkpoint by the new key. Blocking; for the
// thread that owns the appender and the signer, between two commit groups.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "ledger/format/checkpoint.h"
#include "ledger/writing/appender.h"
#include "ledger/writing/ledger.h"
#include "ledger/writing/restored.h"
#include "ledger/writing/signer.h"

namespace aioss::ledger {

// The next key is durable beside the old one and has signed; the body is that of KEY_ROTATE. An
// error leaves ledger and signer as they were.
Result<EncodedBody> prepare_rotation(Signer& signer, const Appender& appender,
                                     const LedgerId& ledger_id, const RotateOptions& options);
struct RotationDone {
  Committed committed;
  std::string note;  // the checkpoint by the new key
};
// After an error neither may be used again: what is in force is for the next start to find out.
Result<RotationDone> carry_out_rotation(Signer& signer, Appender& appender,
                                        const std::string& origin, const EncodedBody& body);

// The first records of a copy that came out of a backup, as far as they are missing, and the end of
// its mark. After an error the ledger is opened again, and goes on from there.
Status begin_restored(os::FileSystem& fs, const std::string& directory, const RestoredWatch& watch,
                      Signer& signer, Appender& appender, const Identity& identity);

// Over everything that was staged.
Checkpoint checkpoint_of(const Appender& appender, const std::string& origin);

}  // namespace aioss::ledger
