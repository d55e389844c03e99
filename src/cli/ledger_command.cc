// `aioss ledger init|tail|show`.
#include <algorithm>
#include <chrono>

#include "base/strings.h"
#include "cli/command_list.h"
#include "cli/interrupt.h"
#include "cli/ledger_session.h"
#include "cli/passphrase.h"
#include "cli/record_view.h"
#include "cli/subject_names.h"
#include "cli/term.h"
#include "codec/hex.h"
#include "codec/json.h"
#include "ledger/format/render.h"
#include "ledger/reading/follow.h"
#include "ledger/reading/verify.h"
#include "ledger/writing/ledger.h"
#include "ledger/writing/policy.h"

namespace aioss::cli {
namespace {

constexpr std::uint64_t kTailDefault = 10;
constexpr std::uint64_t kTailMax = 1'000'000'000;  // more than a ledger of years
constexpr std::chrono::milliseconds kFollowInterval{300};

// The folder: the operand, or the setting.
Result<std::string> directory_of(const Services& services, const Invocation& invocation,
                                 std::size_t operand) {
  if (const std::string given = invocation.operand(operand); !given.empty()) return given;
  AIOSS_TRY(const Config config,
            load_config(services.files, services.environment, invocation.config));
  if (config.text(Key::kLedger).empty()) {
    return Error(Code::kUsage, "HOME is not set; name the ledger's folder with --ledger");
  }
  return config.text(Key::kLedger);
}

int fail_reading(const Services& services, const Error& error, const std::string& directory) {
  return services.console.fail(explain_ledger_error(services.files, error, directory));
}

// The record, and beside it the names that the vault has for the ids in it.
std::string json_line(const ledger::Record& record, const SubjectNames& names) {
  codec::OrderedJson json = ledger::record_json(record);
  const auto known = names.in(record);
  if (!known.empty()) json["names"] = known;
  return codec::dump_json(json) + "\n";
}

std::string name_lines(const ledger::Record& record, const SubjectNames& names) {
  std::string out;
  for (const auto& [id, name] : names.in(record)) {
    out +=
        id + " is " + safe_text(name, false) + ", as the vault says; the record has the id only\n";
  }
  return out;
}

class Printer {
 public:
  Printer(const Services& services, const std::string& directory, bool json)
      : console_(services.console), json_(json) {
    if (json) names_ = SubjectNames::load(services, directory);  // a line of text shows no actor
  }
  bool line(const ledger::Record& record) {
    if (json_) return console_.out(json_line(record, names_));
    return console_.out(record_line(record, console_.facts().output_color));
  }

 private:
  Console& console_;
  const bool json_;
  SubjectNames names_;
};

// Prints, once every interval, what has come.
int follow(const Services& services, const std::string& directory, std::uint64_t next,
           Printer& printer) {
  const auto interrupt = Interrupt::create();
  if (!interrupt) return services.console.fail(interrupt.error());
  ledger::Follower follower(services.files, directory, next);
  for (;;) {
    if ((*interrupt)->wait_for(kFollowInterval)) return static_cast<int>(ExitCode::kInterrupted);
    const auto more =
        follower.read([&](const ledger::Record& record) { return printer.line(record); });
    if (!more) return fail_reading(services, more.error(), directory);
    if (!*more) return static_cast<int>(ExitCode::kOk);  // the reader has seen enough
  }
}

// Nothing: the key is written as it is.
Result<std::optional<crypto::KeyGuard>> guard_of(const Services& services,
                                                 const Invocation& invocation) {
  const std::string text = invocation.text("--protect").value_or("none");
  const auto protection = crypto::protection_from_name(text);
  if (!protection) {
    return Error(Code::kUsage,
                 "--protect: '" + one_line(text) + "' is neither none nor passphrase");
  }
  if (*protection == crypto::Protection::kNone) return std::optional<crypto::KeyGuard>();
  AIOSS_TRY(const crypto::Secret passphrase, new_passphrase(services, "", true));
  AIOSS_TRY(crypto::KeyGuard guard, crypto::KeyGuard::from_passphrase(passphrase, services.random));
  return std::optional<crypto::KeyGuard>(std::move(guard));
}

Result<ledger::Identity> make_ledger(const Services& services, const Invocation& invocation) {
  ledger::InitOptions options;
  options.directory = invocation.operand(0);
  options.origin = invocation.text("--origin").value_or("");
  options.trial = invocation.has("--unsafe-fs");
  AIOSS_TRY(options.policy,
            ledger::parse_policy_actions(invocation.text("--dual-control").value_or("")));
  AIOSS_TRY(const auto guard, guard_of(services, invocation));
  if (guard) options.guard = &*guard;
  return ledger::init(services.files, services.clock, services.random, options);
}

}  // namespace

int ledger_init_command(const Services& services, const Invocation& invocation) {
  Console& console = services.console;
  const auto identity = make_ledger(services, invocation);
  if (!identity) return console.fail(identity.error());
  std::string text;
  if (invocation.has("--json")) {
    codec::OrderedJson out;
    out["vkey"] = identity->verifier_key;
    out["origin"] = identity->origin;
    out["ledger_id"] = codec::to_hex(identity->ledger_id);
    text = codec::dump_json(out) + "\n";
  } else {
    console.note("aioss: ledger " + invocation.operand(0) + " made, origin " + identity->origin);
    console.note("aioss: its public key follows; keep it elsewhere, 'aioss verify --key' needs it");
    text = identity->verifier_key + "\n";
  }
  return console.print(text);
}

int ledger_tail_command(const Services& services, const Invocation& invocation) {
  Console& console = services.console;
  const auto directory = directory_of(services, invocation, 0);
  if (!directory) return console.fail(directory.error());
  const auto given = invocation.number("--lines", 0, kTailMax);
  if (!given) return console.fail(given.error());
  const std::uint64_t lines = given->value_or(kTailDefault);
  // Twice over the ledger, so that memory does not grow with the number of lines.
  std::uint64_t next = 0;
  Status read =
      ledger::read_records(services.files, *directory, 0, [&](const ledger::Record& record) {
        next = record.index + 1;
        return true;
      });
  if (!read && read.error().code != Code::kCorrupt)
    return fail_reading(services, read.error(), *directory);
  Printer printer(services, *directory, invocation.has("--json"));
  const std::uint64_t end = next;
  bool written = true;
  (void)ledger::read_records(services.files, *directory, end - std::min(end, lines),
                             [&](const ledger::Record& record) {
                               if (record.index >= end) return false;
                               written = printer.line(record);
                               return written;
                             });
  if (!written) return static_cast<int>(ExitCode::kOk);  // the reader has seen enough
  if (invocation.has("--follow")) return follow(services, *directory, next, printer);
  return read ? 0 : fail_reading(services, read.error(), *directory);
}

int ledger_show_command(const Services& services, const Invocation& invocation) {
  Console& console = services.console;
  const auto index = parse_u64(invocation.operand(0));
  if (!index) {
    return console.fail({Code::kUsage, "INDEX: '" + one_line(invocation.operand(0)) +
                                           "' is not the number of a record"});
  }
  const auto directory = directory_of(services, invocation, 1);
  if (!directory) return console.fail(directory.error());
  std::optional<ledger::Record> found;
  bool passed = false;
  const Status read =
      ledger::read_records(services.files, *directory, *index, [&](const ledger::Record& record) {
        if (record.index == *index) found = record;
        passed = record.index > *index;
        return record.index < *index;
      });
  if (passed) {
    return console.fail({Code::kNotFound, "the content of record " + std::to_string(*index) +
                                              " was dropped at the end of its retention; only its "
                                              "hash is left"});
  }
  if (!found && !read) return fail_reading(services, read.error(), *directory);
  if (!found) {
    return console.fail({Code::kNotFound, "the ledger has no record " + std::to_string(*index) +
                                              "; 'aioss ledger tail' shows the last ones"});
  }
  const SubjectNames names = SubjectNames::load(services, *directory);
  const std::string text =
      invocation.has("--json")
          ? json_line(*found, names)
          : record_text(*found, console.facts().output_color) + name_lines(*found, names);
  return console.print(text);
}

}  // namespace aioss::cli
