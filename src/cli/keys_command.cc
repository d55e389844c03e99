// `aioss ledger protect|rotate-key|approve`: what is done with the private keys of a ledger, and
// what two people have to agree on.
#include <utility>

#include "base/strings.h"
#include "cli/command_list.h"
#include "cli/dual_control.h"
#include "cli/ledger_session.h"
#include "cli/operators.h"
#include "cli/passphrase.h"
#include "cli/subject_names.h"
#include "cli/term.h"
#include "codec/json.h"
#include "ledger/reading/verify.h"
#include "ledger/writing/policy.h"

namespace aioss::cli {
namespace {

constexpr std::string_view kInstead =
    "stop that one first: what changes a key needs the ledger to itself";
constexpr std::string_view kReasonDetail = "reason";
constexpr std::size_t kReasonBytesMax = 1'024;

struct Session {
  Config config;
  std::string directory;
  Commander who;
  std::unique_ptr<ledger::Ledger> ledger;
};

// The folder, who asks, and the ledger, open.
Result<Session> begin(const Services& services, const Invocation& invocation, std::size_t operand) {
  Session session;
  AIOSS_TRY(session.config, load_config(services.files, services.environment, invocation.config));
  session.directory = invocation.operand(operand);
  if (session.directory.empty()) session.directory = session.config.text(Key::kLedger);
  if (session.directory.empty()) {
    return Error(Code::kUsage, "HOME is not set; name the ledger's folder with --ledger");
  }
  AIOSS_TRY(session.who, commander(services, invocation, session.config));
  AIOSS_TRY(session.ledger, open_existing_ledger(services, session.directory, kInstead));
  AIOSS_TRY(const auto custody,
            open_custody(services, session.config, session.directory, *session.ledger));
  AIOSS_CHECK(know(session.who, *custody));
  return session;
}

int finish(Console& console, Session& session, const Status& done) {
  const Status closed = session.ledger->close();
  if (!done) return console.fail(done.error());
  if (!closed) return console.fail(closed.error());
  return 0;
}

Result<std::string> reason_of(const Invocation& invocation) {
  const std::string reason(trim(invocation.text("--reason").value_or("")));
  if (reason.empty() || reason.size() > kReasonBytesMax) {
    return Error(Code::kUsage,
                 "--reason is needed: why is the key changed, in at most 1,024 bytes?");
  }
  return reason;
}

std::string requested_json(const std::string& id) {
  codec::OrderedJson out;
  out["request"] = id;
  return codec::dump_json(out) + "\n";
}

// It was requested and waits; says how it goes on.
int tell_requested(Console& console, const std::string& id, bool json) {
  if (!console.out(json ? requested_json(id) : id + "\n")) {
    return static_cast<int>(ExitCode::kFailure);
  }
  console.note(
      "aioss: requested, not done: another operator has to approve it (aioss ledger "
      "approve " +
      id + "); then run this again with --request " + id);
  return 0;
}

std::string rotated_text(const ledger::Rotated& rotated, bool json) {
  if (!json) return rotated.verifier_key + "\n";
  codec::OrderedJson out;
  out["record"] = rotated.index;
  out["vkey"] = rotated.verifier_key;
  return codec::dump_json(out) + "\n";
}

Status rotate(const Services& services, const Invocation& invocation, Session& session,
              Consent& agreed, ledger::Rotated& rotated) {
  ActionCall call{ledger::kRotateAction, {}};
  if (!invocation.text("--request")) {
    AIOSS_TRY(const std::string reason, reason_of(invocation));
    call.details = {std::string(kReasonDetail) + "=" + reason};
  }
  AIOSS_TRY(agreed, consent(*session.ledger, services, invocation, session.who, call));
  if (!agreed.given) return ok();
  ledger::RotateOptions options;
  options.reason = detail(agreed.details, kReasonDetail);
  options.approvals = agreed.approvals;
  options.actor = session.who.actor;
  AIOSS_TRY(rotated, session.ledger->rotate_key(std::move(options)));
  return ok();
}

// The guard that --protect asks for.
Result<crypto::KeyGuard> guard_for(const Services& services, const Invocation& invocation,
                                   bool look_around) {
  const std::string text = invocation.text("--protect").value_or("");
  const auto protection = crypto::protection_from_name(text);
  if (!protection) {
    return Error(Code::kUsage,
                 "--protect: '" + one_line(text) + "' is neither none nor passphrase");
  }
  if (*protection == crypto::Protection::kNone) return crypto::KeyGuard();
  const std::string file = invocation.text("--new-passphrase-file").value_or("");
  AIOSS_TRY(const crypto::Secret passphrase, new_passphrase(services, file, look_around));
  return crypto::KeyGuard::from_passphrase(passphrase, services.random);
}

Status protect(const Services& services, const Invocation& invocation, Session& session) {
  // A file or a credential that holds the passphrase of now is not where the next one stands.
  const bool look_around = session.ledger->key_guard().protection() == crypto::Protection::kNone;
  AIOSS_TRY(crypto::KeyGuard guard, guard_for(services, invocation, look_around));
  ledger::AdminAction action;
  action.actor = session.who.actor;
  action.action = "protect";
  action.outcome = "begun";
  action.details = {std::string(crypto::name(guard.protection()))};
  auto recorded = session.ledger->append_and_wait(ledger::RecordType::kAdminAction,
                                                  ledger::admin_action_body(action));
  if (!recorded) return std::move(recorded).error();
  return session.ledger->protect_keys(std::move(guard));
}

// "tenant/s_…", as approvals have it, with the name that the vault still knows.
std::string readable(const SubjectNames& names, const std::string& operator_name) {
  const std::string name = names.of(operator_name.substr(operator_name.rfind('/') + 1));
  return name.empty() ? operator_name : name;
}

// What is there to be approved, oldest first. Reads beside a running server.
int list_requests(const Services& services, const std::string& directory, bool json) {
  Console& console = services.console;
  ledger::ControlBook book;
  const Status read =
      ledger::read_records(services.files, directory, 0, [&book](const ledger::Record& record) {
        book.see(record);
        return true;
      });
  if (!read && read.error().code != Code::kCorrupt) {
    return console.fail(explain_ledger_error(services.files, read.error(), directory));
  }
  const SubjectNames names = SubjectNames::load(services, directory);
  std::string text;
  for (const ledger::ActionRequest& request : book.open_requests()) {
    if (services.clock.wall_ns() - request.wall_ns > ledger::kRequestLifeNs) continue;
    if (json) {
      codec::OrderedJson out;
      out["request"] = request.id;
      out["action"] = request.action;
      out["details"] = request.details;
      out["requested_by"] = readable(names, request.requested_by);
      out["approved_by"] = readable(names, request.approved_by);
      text += codec::dump_json(out) + "\n";
      continue;
    }
    text += request.id + "  " + request.action + " by " + readable(names, request.requested_by);
    if (!request.approved_by.empty()) {
      text += ", approved by " + readable(names, request.approved_by);
    }
    for (const std::string& entry : request.details) text += "  " + entry;
    text += "\n";
  }
  if (text.empty()) console.note("aioss: nothing waits for an approval");
  return console.print(safe_text(text, true));
}

Status approve(const Services& services, Session& session, const std::string& id) {
  if (!session.who.has_key) {
    return Error(Code::kUsage, "say who approves it, with --operator-key @FILE and --keys FILE");
  }
  AIOSS_TRY(codec::Map body,
            session.ledger->controls().approve(id, session.who.actor, services.clock.wall_ns()));
  auto written = session.ledger->append_and_wait(ledger::RecordType::kAdminAction, std::move(body));
  return written ? ok() : Status(std::move(written).error());
}

}  // namespace

int ledger_protect_command(const Services& services, const Invocation& invocation) {
  Console& console = services.console;
  auto session = begin(services, invocation, 0);
  if (!session) return console.fail(session.error());
  const int code = finish(console, *session, protect(services, invocation, *session));
  if (code == 0) {
    console.note("aioss: the private keys in " + session->directory +
                 " are protected by: " + *invocation.text("--protect"));
  }
  return code;
}

int ledger_rotate_key_command(const Services& services, const Invocation& invocation) {
  Console& console = services.console;
  auto session = begin(services, invocation, 0);
  if (!session) return console.fail(session.error());
  Consent agreed;
  ledger::Rotated rotated;
  const Status done = rotate(services, invocation, *session, agreed, rotated);
  const int code = finish(console, *session, done);
  if (code != 0) return code;
  const bool json = invocation.has("--json");
  if (!agreed.given) return tell_requested(console, agreed.request_id, json);
  console.note("aioss: a new key signs from record " + std::to_string(rotated.index + 1) +
               " on, the old one is destroyed; the new public key follows, every earlier one still "
               "verifies this ledger");
  return console.print(rotated_text(rotated, json));
}

int ledger_approve_command(const Services& services, const Invocation& invocation) {
  Console& console = services.console;
  const std::string id = invocation.operand(0);
  if (id.empty()) {
    const auto config = load_config(services.files, services.environment, invocation.config);
    if (!config) return console.fail(config.error());
    return list_requests(services, config->text(Key::kLedger), invocation.has("--json"));
  }
  auto session = begin(services, invocation, 1);
  if (!session) return console.fail(session.error());
  const int code = finish(console, *session, approve(services, *session, id));
  if (code == 0) {
    console.note("aioss: " + id + " is approved; whoever does it now adds --request " + id);
  }
  return code;
}

}  // namespace aioss::cli
