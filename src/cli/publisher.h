// Who signs what others install: `--sign KEYFILE` and `--new-key NAME` of `aioss models bundle` and
// `aioss engine sign`. Blocking.
#pragma once

#include <memory>
#include <optional>

#include "base/result.h"
#include "cli/args.h"
#include "cli/services.h"
#include "crypto/ed25519.h"
#include "ledger/format/checkpoint.h"

namespace aioss::cli {

struct Publisher {
  std::unique_ptr<crypto::SigningKey> key;
  ledger::VerifierKey vkey;
};

// Nothing without --sign. With --new-key the key is made first.
Result<std::optional<Publisher>> publisher_of(const Services& services,
                                              const Invocation& invocation);

}  // namespace aioss::cli
