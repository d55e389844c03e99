// `aioss ledger backup|restore`.
#include <functional>

#include "base/strings.h"
#include "cli/command_list.h"
#include "cli/key_argument.h"
#include "cli/ledger_session.h"
#include "cli/operators.h"
#include "cli/passphrase.h"
#include "cli/progress.h"
#include "codec/json.h"
#include "ledger/custody/custody.h"
#include "ledger/writing/backup.h"
#include "ledger/writing/ledger.h"
#include "ledger/writing/policy.h"
#include "os/environment.h"

namespace aioss::cli {
namespace {

std::string backup_json(const ledger::BackupReport& report) {
  codec::OrderedJson out;
  out["origin"] = report.origin;
  out["records"] = report.records;
  out["checkpoint_size"] = report.checkpoint_size;
  out["bytes"] = report.bytes;
  out["keys"] = report.keys;
  return codec::dump_json(out) + "\n";
}

std::string backup_text(const ledger::BackupReport& report) {
  return std::to_string(report.records) + " records of " + report.origin + ", " +
         human_bytes(report.bytes) + ", verified; private keys: " + report.keys + "\n";
}

std::function<void(std::uint64_t, std::uint64_t)> shown_by(Progress& progress) {
  return [&progress](std::uint64_t done, std::uint64_t all) {
    progress.update(all == 0 ? 1.0F : static_cast<float>(done) / static_cast<float>(all));
  };
}

Result<std::string> verifier_key(const Services& services, const Invocation& invocation) {
  const auto given = invocation.text("--key");
  if (!given) return std::string();
  return key_argument(services.files, "--key", *given);
}

// That a copy of everything was made is a record, where that can be written without disturbing
// anybody: a running aioss has the ledger to itself, and nobody may be there to type a passphrase.
Status record_backup(const Services& services, const std::string& directory,
                     const ledger::BackupReport& report, const std::string& destination) {
  ledger::OpenOptions options;
  options.directory = directory;
  options.ask_passphrase = quiet_passphrase_source(services);
  AIOSS_TRY(const auto opened,
            ledger::Ledger::open(services.files, services.clock, services.random, options));
  ledger::AdminAction action;
  ledger::CustodyOptions keeping;
  keeping.directory = directory;
  keeping.master = master_key_file(services, opened->key_guard());
  AIOSS_TRY(const auto custody, ledger::Custody::open(services.files, services.clock,
                                                      services.random, *opened, keeping));
  Commander who = os_user();
  AIOSS_CHECK(know(who, *custody));
  action.actor = who.actor;
  action.action = "backup";
  action.outcome = "done";
  action.details = {"to=" + destination, "records=" + std::to_string(report.records),
                    "keys=" + report.keys};
  auto written =
      opened->append_and_wait(ledger::RecordType::kAdminAction, ledger::admin_action_body(action));
  if (!written) return std::move(written).error();
  return opened->close();
}

int print(const Services& services, const Invocation& invocation,
          const ledger::BackupReport& report) {
  const std::string text = invocation.has("--json") ? backup_json(report) : backup_text(report);
  return services.console.print(text);
}

// What a restored copy needs, and what it will do.
void note_keys(Console& console, const ledger::BackupReport& report) {
  if (report.keys == "none") {
    console.note(
        "aioss: the backup holds no private key: this copy can be read and verified; to write to "
        "it, put the ledger's keys/signing.key and vault/master.key there, both");
    console.note(
        "aioss: a vault/master.key of after an erasure does not open this older vault: then put "
        "the ledger's whole folder vault/ there (docs/keys.md)");
    return;
  }
  console.note(
      "aioss: before it records anything, this copy says that it was restored and takes a new "
      "key; 'aioss verify' goes on with the old public key");
}

}  // namespace

int ledger_backup_command(const Services& services, const Invocation& invocation) {
  Console& console = services.console;
  const auto key = verifier_key(services, invocation);
  if (!key) return console.fail(key.error());
  ledger::BackupOptions options;
  options.directory = invocation.operand(0);
  options.destination = invocation.operand(1);
  options.with_keys = invocation.has("--with-keys");
  options.unprotected_keys = invocation.has("--unprotected-keys");
  options.verifier_key = *key;
  if (options.unprotected_keys && !options.with_keys) {
    return console.fail({Code::kUsage, "--unprotected-keys goes with --with-keys"});
  }
  Progress progress(console, services.clock, "verifying the copy");
  options.progress = shown_by(progress);
  const auto report = ledger::back_up(services.files, services.clock, options);
  progress.clear();
  if (!report) {
    return console.fail(explain_ledger_error(services.files, report.error(), options.directory));
  }
  const Status recorded = record_backup(services, options.directory, *report, options.destination);
  if (!recorded) {
    console.note("aioss: the backup is complete, but no record says so: " +
                 recorded.error().message);
  }
  return print(services, invocation, *report);
}

int ledger_restore_command(const Services& services, const Invocation& invocation) {
  Console& console = services.console;
  const auto key = verifier_key(services, invocation);
  if (!key) return console.fail(key.error());
  ledger::RestoreOptions options;
  options.backup = invocation.operand(0);
  options.destination = invocation.operand(1);
  options.verifier_key = *key;
  options.restored_by = os::user_name();
  Progress progress(console, services.clock, "verifying the copy");
  options.progress = shown_by(progress);
  const auto report = ledger::restore(services.files, options);
  progress.clear();
  if (!report) return console.fail(report.error());
  note_keys(console, *report);
  return print(services, invocation, *report);
}

}  // namespace aioss::cli
