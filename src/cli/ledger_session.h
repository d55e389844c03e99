// The ledger of `serve` and `run`: opened, or made on first use. Owned by the command; closed by it
// with close(), which signs the checkpoint.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cli/config.h"
#include "cli/services.h"
#include "crypto/protected_key.h"
#include "ledger/custody/custody.h"
#include "ledger/writing/ledger.h"
#include "runtime/gateway.h"

namespace aioss::cli {

// A new ledger's public key is printed to standard error, once: it is what verification needs. So
// is that a ledger is for trials, here and below, each time.
Result<std::unique_ptr<ledger::Ledger>> open_ledger(const Services& services, const Config& config);

// The ledger in a folder named on the command line, to append to; never made. kConflict if another
// aioss has it: the message ends in `instead`, which says how to ask that one. `frees_space`: it is
// opened on a disk that is too full for other work, too.
Result<std::unique_ptr<ledger::Ledger>> open_existing_ledger(const Services& services,
                                                             const std::string& directory,
                                                             std::string_view instead,
                                                             bool frees_space = false);

// How the vault's master key lies on the disk: as the ledger's own key does.
ledger::MasterKeyFile master_key_file(const Services& services, const crypto::KeyGuard& guard);
// The custody of an open ledger. `directory` is the ledger's.
Result<std::unique_ptr<ledger::Custody>> open_custody(const Services& services,
                                                      const Config& config,
                                                      const std::string& directory,
                                                      ledger::Ledger& ledger);

// An error of reading the ledger in `directory` as its user should read it: with the folder's name,
// which messages of the disk leave out, and if nothing is there, with what to do.
Error explain_ledger_error(os::FileSystem& files, Error error, const std::string& directory);

// Where hashes of model files are remembered; "" if there is no home.
std::string state_directory(const Services& services);

// The models folder, made if it is the default one and absent. kUsage without a home.
Result<std::string> models_directory(const Services& services, const Config& config);

// What the configuration says of single models, and which may be loaded.
void add_model_settings(const Config& config, runtime::GatewayOptions& options);

}  // namespace aioss::cli
