// `aioss ledger subjects|open|hold|erase|drop`: orders about people and their texts, on a ledger
// that no server has open. What they do is in ledger/custody/custody.h.
#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>

#include "base/strings.h"
#include "cli/command_list.h"
#include "cli/dual_control.h"
#include "cli/ledger_session.h"
#include "cli/operators.h"
#include "cli/subject_names.h"
#include "cli/term.h"
#include "codec/json.h"
#include "ledger/custody/custody.h"
#include "ledger/reading/verify.h"
#include "ledger/writing/policy.h"
#include "runtime/records/opened_request.h"

namespace aioss::cli {
namespace {

constexpr std::string_view kAskServer =
    "stop that one, or ask it over HTTP as one of its operators: POST /admin/ledger/";
constexpr std::string_view kStopServer = "stop that one first";

Result<std::string> directory_of(const Config& config, const std::string& given) {
  if (!given.empty()) return given;
  if (!config.text(Key::kLedger).empty()) return config.text(Key::kLedger);
  return Error(Code::kUsage, "HOME is not set; name the ledger's folder with --ledger");
}

Result<std::string> needed(const Invocation& invocation, std::string_view flag,
                           std::string_view what) {
  const std::string value = invocation.text(flag).value_or("");
  if (!value.empty()) return value;
  return Error(Code::kUsage, std::string(flag) + " is needed: " + std::string(what));
}

// A ledger, open to take an order.
struct Session {
  std::unique_ptr<ledger::Ledger> ledger;
  std::unique_ptr<ledger::Custody> custody;
  Commander who;

  Status close() {
    custody.reset();
    return ledger->close();
  }
};

Result<Session> open_session(const Services& services, const Invocation& invocation,
                             std::size_t operand, const std::string& instead,
                             bool frees_space = false) {
  AIOSS_TRY(const Config config,
            load_config(services.files, services.environment, invocation.config));
  AIOSS_TRY(const std::string directory, directory_of(config, invocation.operand(operand)));
  Session session;
  AIOSS_TRY(session.who, commander(services, invocation, config));
  AIOSS_TRY(session.ledger, open_existing_ledger(services, directory, instead, frees_space));
  AIOSS_TRY(session.custody, open_custody(services, config, directory, *session.ledger));
  AIOSS_CHECK(know(session.who, *session.custody));
  return session;
}

std::string line_of(const codec::OrderedJson& json) {
  return codec::dump_json(json) + "\n";
}

// ---- open ---------------------------------------------------------------------------------------

Result<std::string> open_request(const Services& services, const Invocation& invocation) {
  AIOSS_TRY(Session session,
            open_session(services, invocation, 1, std::string(kAskServer) + "open"));
  AIOSS_TRY(const ledger::OpenedRequest opened,
            session.custody->open_request(invocation.operand(0), session.who.actor));
  AIOSS_CHECK(session.close());
  if (invocation.has("--json")) {
    AIOSS_TRY(const codec::OrderedJson json, runtime::opened_json(opened));
    return line_of(json);
  }
  services.console.note("aioss: " + opened.request_id + ", record " +
                        std::to_string(opened.request_record) + "; that it was opened is record " +
                        std::to_string(opened.access_record));
  AIOSS_TRY(std::string text, runtime::opened_text(opened));
  return services.console.facts().output_is_terminal ? safe_text(text, true) : text;
}

// ---- erase --------------------------------------------------------------------------------------

constexpr std::string_view kSubjectDetail = "subject", kGroundDetail = "ground";

std::string erased_text(const Services& services, const ledger::Erased& erased, bool as_json) {
  if (as_json) {
    codec::OrderedJson json;
    json["erased"] = erased.erased;
    if (erased.erased) {
      json["subject"] = erased.subject;
      json["blobs"] = erased.blobs;
      json["record"] = erased.record;
    }
    return line_of(json);
  }
  if (!erased.erased) {
    services.console.note(
        "aioss: nothing was erased: the vault knows no such subject; was it erased before, or is "
        "the name written otherwise? 'aioss ledger subjects' lists those it knows");
    return std::string();
  }
  return "erased " + erased.subject + ": its key and " + std::to_string(erased.blobs) +
         " sealed texts; record " + std::to_string(erased.record) + "\n";
}

// Under dual control: it waits for another operator.
std::string requested_text(const Services& services, const std::string& id, bool as_json) {
  services.console.note(
      "aioss: requested, not done: another operator has to approve it (aioss ledger approve " + id +
      "); then run this again with --request " + id);
  codec::OrderedJson json;
  json["request"] = id;
  return as_json ? line_of(json) : id + "\n";
}

// What is to be erased, as consent() has it. Checked before anybody is asked: nothing if there is
// no such subject.
Result<std::optional<ActionCall>> erasure_of(const Invocation& invocation, const Session& session) {
  ActionCall call{ledger::kEraseAction, {}};
  if (invocation.text("--request")) return std::optional<ActionCall>(call);
  const std::string ground = invocation.text("--ground").value_or("");
  AIOSS_TRY(const std::string id,
            session.custody->check_erasure(invocation.text("--subject").value_or(""), ground));
  if (id.empty()) return std::optional<ActionCall>();
  call.details = {std::string(kSubjectDetail) + "=" + id,
                  std::string(kGroundDetail) + "=" + ground};
  return std::optional<ActionCall>(call);
}

Result<std::string> erase(const Services& services, const Invocation& invocation) {
  if (!invocation.text("--request")) {
    AIOSS_CHECK(needed(invocation, "--subject", "whom to erase"));
    AIOSS_CHECK(needed(invocation, "--ground", "why"));
  }
  AIOSS_TRY(Session session,
            open_session(services, invocation, 0, std::string(kAskServer) + "erase"));
  AIOSS_TRY(const std::optional<ActionCall> call, erasure_of(invocation, session));
  ledger::Erased erased;
  Consent agreed;
  if (call) {
    AIOSS_TRY(agreed, consent(*session.ledger, services, invocation, session.who, *call));
  }
  if (agreed.given) {
    AIOSS_TRY(erased, session.custody->erase(detail(agreed.details, kSubjectDetail),
                                             detail(agreed.details, kGroundDetail),
                                             session.who.actor, agreed.approvals));
  }
  AIOSS_CHECK(session.close());
  const bool json = invocation.has("--json");
  if (call && !agreed.given) return requested_text(services, agreed.request_id, json);
  return erased_text(services, erased, json);
}

// ---- hold ---------------------------------------------------------------------------------------

Result<std::string> change_hold(const Services& services, const Invocation& invocation, bool on) {
  AIOSS_TRY(const std::string who, needed(invocation, "--subject", "whom, or '*' for everybody"));
  AIOSS_TRY(const std::string case_name,
            needed(invocation, "--case", "which case the hold is for"));
  AIOSS_TRY(Session session,
            open_session(services, invocation, 1, std::string(kAskServer) + "hold"));
  AIOSS_TRY(const std::uint64_t record,
            session.custody->hold(who, on, case_name, session.who.actor));
  AIOSS_CHECK(session.close());
  codec::OrderedJson json;
  json["on"] = on;
  json["record"] = record;
  if (invocation.has("--json")) return line_of(json);
  return std::string(on ? "held" : "cleared") + "; record " + std::to_string(record) + "\n";
}

// Reads the records, so that it works beside a running server.
Result<ledger::Standing> read_standing(const Services& services, const std::string& directory) {
  ledger::Standing standing;
  const Status read =
      ledger::read_records(services.files, directory, 0, [&](const ledger::Record& record) {
        standing.note(record);
        return true;
      });
  // The end of a running ledger may be a record that is being written.
  if (read || read.error().code == Code::kCorrupt) return standing;
  return explain_ledger_error(services.files, read.error(), directory);
}

Result<std::string> list_holds(const Services& services, const Invocation& invocation) {
  AIOSS_TRY(const Config config,
            load_config(services.files, services.environment, invocation.config));
  AIOSS_TRY(const std::string directory, directory_of(config, invocation.operand(1)));
  AIOSS_TRY(const ledger::Standing standing, read_standing(services, directory));
  const SubjectNames names = SubjectNames::load(services, directory);
  if (invocation.has("--json")) {
    codec::OrderedJson all = codec::OrderedJson::array();
    for (const ledger::LegalHold& hold : standing.holds()) {
      codec::OrderedJson one;
      one["subject"] = hold.subject;
      if (const std::string name = names.of(hold.subject); !name.empty()) one["name"] = name;
      one["case"] = hold.case_name;
      one["record"] = hold.record;
      all.push_back(std::move(one));
    }
    return line_of(all);
  }
  Table table({{"SUBJECT"}, {"NAME"}, {"RECORD", Table::Align::kRight}, {"CASE"}});
  for (const ledger::LegalHold& hold : standing.holds()) {
    table.add({hold.subject, names.of(hold.subject), std::to_string(hold.record), hold.case_name});
  }
  return table.render(services.console.table_columns(), services.console.facts().output_color);
}

// ---- drop ---------------------------------------------------------------------------------------

// Midnight UTC of "2026-05-31", in nanoseconds since 1970.
Result<std::int64_t> parse_date(const std::string& text) {
  constexpr std::int64_t kDayNs = 24LL * 3600 * 1'000'000'000;
  constexpr int kYearMax = 2200;  // nanoseconds end in 2262
  const auto parts = split(text, '-');
  const auto number = [&parts](std::size_t i) -> std::uint64_t {
    return parts.size() == 3 ? parse_u64(parts[i]).value_or(0) : 0;
  };
  const std::chrono::year_month_day date(
      std::chrono::year(static_cast<int>(std::min<std::uint64_t>(number(0), kYearMax))),
      std::chrono::month(static_cast<unsigned>(std::min<std::uint64_t>(number(1), 99))),
      std::chrono::day(static_cast<unsigned>(std::min<std::uint64_t>(number(2), 99))));
  if (!date.ok() || number(0) < 1970 || text.size() != std::string_view("2026-05-31").size()) {
    return Error(Code::kUsage,
                 "--before: '" + one_line(text) + "' is not a date; write it as 2026-05-31");
  }
  return std::chrono::sys_days(date).time_since_epoch().count() * kDayNs;
}

Result<std::string> drop(const Services& services, const Invocation& invocation) {
  AIOSS_TRY(const std::string date, needed(invocation, "--before", "a date, as 2026-05-31"));
  AIOSS_TRY(const std::string ground, needed(invocation, "--ground", "why"));
  AIOSS_TRY(const std::int64_t before_ns, parse_date(date));
  AIOSS_TRY(Session session, open_session(services, invocation, 0, std::string(kStopServer), true));
  AIOSS_TRY(const ledger::Dropped dropped,
            session.custody->drop(before_ns, ground, session.who.actor));
  AIOSS_CHECK(session.close());
  if (invocation.has("--json")) {
    codec::OrderedJson json;
    json["segments"] = dropped.segments;
    if (dropped.segments > 0) {
      json["first"] = dropped.first;
      json["after"] = dropped.after;
      json["record"] = dropped.record;
    }
    return line_of(json);
  }
  if (dropped.segments == 0) return std::string("no segment was sealed before that date\n");
  return "dropped the content of the records " + std::to_string(dropped.first) + " to " +
         std::to_string(dropped.after - 1) + " in " + std::to_string(dropped.segments) +
         (dropped.segments == 1 ? " segment" : " segments") + "; record " +
         std::to_string(dropped.record) + "\n";
}

// ---- subjects -----------------------------------------------------------------------------------

Result<std::string> list_subjects(const Services& services, const Invocation& invocation) {
  AIOSS_TRY(const Config config,
            load_config(services.files, services.environment, invocation.config));
  AIOSS_TRY(const std::string directory, directory_of(config, invocation.operand(0)));
  AIOSS_TRY(const ledger::Standing standing, read_standing(services, directory));
  AIOSS_TRY(const auto subjects, read_subjects(services, directory));
  const auto held = [&](const ledger::SubjectPtr& subject) {
    return standing.hold_on(subject->id()) != nullptr;
  };
  if (invocation.has("--json")) {
    codec::OrderedJson all = codec::OrderedJson::array();
    for (const ledger::SubjectPtr& subject : subjects) {
      codec::OrderedJson one;
      one["subject"] = subject->id();
      one["tenant"] = subject->name().tenant;
      one["user"] = subject->name().user;
      one["held"] = held(subject);
      all.push_back(std::move(one));
    }
    return line_of(all);
  }
  Table table({{"SUBJECT"}, {"HELD"}, {"NAME"}});
  for (const ledger::SubjectPtr& subject : subjects) {
    table.add({subject->id(), held(subject) ? "yes" : "", ledger::shown(subject->name())});
  }
  return table.render(services.console.table_columns(), services.console.facts().output_color);
}

}  // namespace

int ledger_open_command(const Services& services, const Invocation& invocation) {
  return services.console.print(open_request(services, invocation));
}

int ledger_erase_command(const Services& services, const Invocation& invocation) {
  return services.console.print(erase(services, invocation));
}

int ledger_hold_command(const Services& services, const Invocation& invocation) {
  const std::string action = invocation.operand(0);
  if (action == "list") return services.console.print(list_holds(services, invocation));
  if (action == "set" || action == "clear") {
    return services.console.print(change_hold(services, invocation, action == "set"));
  }
  return services.console.fail(
      {Code::kUsage, "ACTION: '" + one_line(action) + "' is none of set, clear, list"});
}

int ledger_drop_command(const Services& services, const Invocation& invocation) {
  return services.console.print(drop(services, invocation));
}

int ledger_subjects_command(const Services& services, const Invocation& invocation) {
  return services.console.print(list_subjects(services, invocation));
}

}  // namespace aioss::cli
