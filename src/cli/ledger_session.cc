#include "cli/ledger_session.h"

#include <utility>

#include "cli/model_settings_file.h"
#include "cli/passphrase.h"
#include "ledger/reading/walk.h"
#include "ledger/writing/directory.h"
#include "ledger/writing/signer.h"

namespace aioss::cli {
namespace {

// No folder, or one with nothing in it. Anything else is left to open(), which says what is wrong.
Result<bool> is_absent(os::FileSystem& files, const std::string& directory) {
  const auto found = files.info(directory);
  if (!found && found.error().code == Code::kNotFound) return true;
  if (!found) return Error(found.error());
  if (!found->is_directory) {
    return Error(Code::kUsage, directory + " is a file; name a folder with --ledger");
  }
  AIOSS_TRY(const auto names, files.list(directory));
  return names.empty();
}

Status make(const Services& services, const std::string& directory) {
  ledger::InitOptions options;
  options.directory = directory;
  auto identity = ledger::init(services.files, services.clock, services.random, options);
  if (!identity) return std::move(identity).error();
  Console& console = services.console;
  console.note("aioss: new ledger " + directory + "; every inference is recorded there");
  console.note("aioss: its public key, needed to verify it; keep a copy elsewhere:");
  console.note("aioss:   " + identity->verifier_key);
  return ok();
}

void note_trial(const Services& services, const std::string& directory) {
  if (!ledger::is_trial(services.files, directory)) return;
  services.console.note("aioss: ledger " + directory +
                        " is for trials (its folder has the file 'trial'): what is recorded there "
                        "may be lost");
}

}  // namespace

Result<std::unique_ptr<ledger::Ledger>> open_ledger(const Services& services,
                                                    const Config& config) {
  const std::string directory = config.text(Key::kLedger);
  if (directory.empty()) {
    return Error(Code::kUsage, "HOME is not set; name the ledger's folder with --ledger");
  }
  const std::string context = "ledger " + directory;
  auto absent = is_absent(services.files, directory);
  if (!absent) return std::move(absent).error().with_context(context);
  if (*absent) {
    if (Status made = make(services, directory); !made) {
      return std::move(made).error().with_context(context);
    }
  }
  ledger::OpenOptions options;
  options.directory = directory;
  options.ask_passphrase = passphrase_source(services);
  auto opened = ledger::Ledger::open(services.files, services.clock, services.random, options);
  if (!opened && opened.error().code == Code::kConflict) {
    return Error(Code::kConflict, context +
                                      " is in use by another aioss; stop that one, ask it "
                                      "over HTTP, or give another folder with --ledger");
  }
  if (!opened) return std::move(opened).error().with_context(context);
  note_trial(services, directory);
  return opened;
}

Result<std::unique_ptr<ledger::Ledger>> open_existing_ledger(const Services& services,
                                                             const std::string& directory,
                                                             std::string_view instead,
                                                             bool frees_space) {
  ledger::OpenOptions options;
  options.directory = directory;
  options.may_use_reserve = frees_space;
  options.ask_passphrase = passphrase_source(services);
  auto opened = ledger::Ledger::open(services.files, services.clock, services.random, options);
  if (opened) {
    note_trial(services, directory);
    return opened;
  }
  if (opened.error().code == Code::kConflict) {
    return Error(Code::kConflict,
                 "ledger " + directory + " is in use by another aioss; " + std::string(instead));
  }
  return explain_ledger_error(services.files, std::move(opened).error(), directory);
}

ledger::MasterKeyFile master_key_file(const Services& services, const crypto::KeyGuard& guard) {
  constexpr unsigned kPermissions = 0600;
  ledger::MasterKeyFile file;
  file.load = [guard, ask = quiet_passphrase_source(services)](
                  os::FileSystem& fs, const std::string& path) -> Result<ledger::LoadedMaster> {
    AIOSS_TRY(Bytes bytes, os::read_file(fs, path, crypto::kKeyFileBytesMax));
    const crypto::Secret sealed(std::move(bytes));
    AIOSS_TRY(const crypto::Secret key, guard.open(ledger::kMasterKeyLabel, sealed.view(), ask));
    if (key.view().size() != crypto::SecretKey::kBytes) {
      return Error{Code::kCorrupt, "the file does not hold a key of 32 bytes"};
    }
    return ledger::LoadedMaster{crypto::SecretKey(key.view()), guard.wrote(sealed.view())};
  };
  file.save = [guard, &random = services.random](os::FileSystem& fs, const std::string& path,
                                                 const crypto::SecretKey& key) -> Status {
    AIOSS_TRY(const crypto::Secret sealed, guard.seal(ledger::kMasterKeyLabel, key.view(), random));
    return os::replace_file(fs, path, sealed.view(), kPermissions);
  };
  return file;
}

Result<std::unique_ptr<ledger::Custody>> open_custody(const Services& services,
                                                      const Config& config,
                                                      const std::string& directory,
                                                      ledger::Ledger& ledger) {
  ledger::CustodyOptions options;
  options.directory = directory;
  options.retention_days = config.number(Key::kRetentionDays);
  options.master = master_key_file(services, ledger.key_guard());
  auto opened =
      ledger::Custody::open(services.files, services.clock, services.random, ledger, options);
  if (!opened) return std::move(opened).error().with_context("ledger " + directory);
  return opened;
}

Error explain_ledger_error(os::FileSystem& files, Error error, const std::string& directory) {
  const auto missing = [&files](const std::string& path) {
    const auto found = files.info(path);
    return !found && found.error().code == Code::kNotFound;
  };
  if (missing(directory)) {
    return {Code::kNotFound, "there is no folder " + directory +
                                 "; name a ledger's folder, or make a ledger with 'aioss ledger "
                                 "init', 'serve' or 'run'"};
  }
  if (missing(directory + "/" + std::string(ledger::kSegmentFolder))) {
    return {Code::kNotFound, "there is no ledger in " + directory +
                                 "; name a ledger's folder, or make one with 'aioss ledger init'"};
  }
  return std::move(error).with_context("ledger " + directory);
}

std::string state_directory(const Services& services) {
  return expand_path("$XDG_STATE_HOME/aioss", services.environment);
}

Result<std::string> models_directory(const Services& services, const Config& config) {
  const std::string directory = config.text(Key::kModelsDir);
  if (directory.empty()) {
    return Error(Code::kUsage, "HOME is not set; name the models' folder with --models-dir");
  }
  if (config.source(Key::kModelsDir) == Source::kDefault) {
    AIOSS_CHECK(services.files.make_directories(directory));
  }
  return directory;
}

void add_model_settings(const Config& config, runtime::GatewayOptions& options) {
  options.model_settings = config.models();
  options.parse_model_settings = parse_model_settings;
  options.models_allow = config.text(Key::kModelsAllow);
}

}  // namespace aioss::cli
