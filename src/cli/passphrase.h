// The passphrase of private keys: from a file that AIOSS_PASSPHRASE_FILE names, from systemd
// ($CREDENTIALS_DIRECTORY/aioss-ledger), or asked on the terminal without being shown; the first of
// these that there is. Blocking.
#pragma once

#include <string>
#include <string_view>

#include "cli/services.h"
#include "crypto/protected_key.h"

namespace aioss::cli {

inline constexpr std::string_view kPassphraseVariable = "AIOSS_PASSPHRASE_FILE";
inline constexpr std::string_view kCredentialName = "aioss-ledger";

// For keys that are there. Asks a person once, however often it is called. `services` outlives it.
crypto::AskPassphrase passphrase_source(const Services& services);
// The same without a person: an error if nothing but the terminal is left.
crypto::AskPassphrase quiet_passphrase_source(const Services& services);

// For keys that are to be protected from now on. `file`: read it there; "": from the places above
// if `look_around`, else asked on the terminal, twice.
Result<crypto::Secret> new_passphrase(const Services& services, const std::string& file,
                                      bool look_around);

}  // namespace aioss::cli
