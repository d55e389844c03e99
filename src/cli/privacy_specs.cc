// `aioss ledger subjects|open|hold|erase|drop`, as the table of commands has them.
#include "cli/command_specs.h"

namespace aioss::cli {
namespace {

constexpr Flag kOperatorKey{"--operator-key", "", "KEY",
                            "Who you are: an operator's key, or @FILE that holds it."};
constexpr std::string_view kDirectoryHelp = "Folder of the ledger; default: the setting 'ledger'.";

Flag subject_flag(std::string_view help) {
  return {"--subject", "", "TENANT/USER", help};
}

CommandSpec ledger_subjects() {
  return {"ledger subjects",
          "list the people whose secrets the vault keeps",
          "A subject is a user of a tenant. Records say its id and never its name; only the vault, "
          "which its owner alone can read, has both.",
          {{"DIR", kDirectoryHelp, false}},
          {kJson},
          kForLedger,
          {"aioss ledger subjects", "aioss ledger subjects /var/lib/aioss/ledger --json"}};
}

CommandSpec ledger_open() {
  return {"ledger open",
          "show the text of a sealed request",
          "Only with 'privacy = sealed' is there a text to open. That it was opened, and by whom, "
          "is recorded (ACCESS) before anything is printed. While a server runs, ask it: POST "
          "/admin/ledger/open.",
          {{"REQUEST", "Its id (req_…), or the number of its INFER_REQUEST record."},
           {"DIR", kDirectoryHelp, false}},
          {kOperatorKey, kJson},
          kForLedger | kForOperator,
          {"aioss ledger open req_5f0c1d2e3f4a5b6c7d8e9f00",
           "aioss ledger open 1742 --json | jq .outputs[0]"}};
}

CommandSpec ledger_hold() {
  return {
      "ledger hold",
      "forbid the erasure of somebody, allow it again, list what is forbidden",
      "A hold belongs to a case: two cases may hold one person, and each is cleared by itself. "
      "While anybody is held, nothing is dropped at the end of retention either. Setting and "
      "clearing are records (LEGAL_HOLD). While a server runs, ask it: POST /admin/ledger/hold.",
      {{"ACTION", "set, clear or list."}, {"DIR", kDirectoryHelp, false}},
      {subject_flag("Whom: by name, by id (s_…), or '*' for everybody."),
       {"--case", "", "TEXT", "Which case; stays in the ledger, so it must not name the person."},
       kOperatorKey,
       kJson},
      kForLedger | kForOperator,
      {"aioss ledger hold set --subject ward-3/alice --case \"7 O 12/26\"",
       "aioss ledger hold clear --subject ward-3/alice --case \"7 O 12/26\"",
       "aioss ledger hold list --json"}};
}

CommandSpec ledger_erase() {
  return {
      "ledger erase",
      "destroy the key and the sealed texts of one person, for good",
      "Their records stay, verify as before and are nobody's: name, texts and the means to test "
      "a guess are gone from every file of the ledger. Recorded (REDACT). Backups, and what a "
      "disk keeps beside its files, are out of reach: docs/privacy.md. While a server runs, ask "
      "it: POST /admin/ledger/erase.",
      {{"DIR", kDirectoryHelp, false}},
      {subject_flag("Whom: by name, or by id (s_…)."),
       {"--ground", "", "TEXT",
        "Why; stays in the ledger for ever, so it must not name the person."},
       kOperatorKey,
       {"--request", "", "ID",
        "With dual control: do what was requested under this ID and approved."},
       kJson},
      kForLedger | kForOperator,
      {"aioss ledger erase --subject ward-3/alice --ground \"art. 17 GDPR, request of 3 May\""}};
}

CommandSpec ledger_drop() {
  return {
      "ledger drop",
      "take the content of old records away at the end of their retention",
      "Whole segments that were sealed before the date keep the hashes of their records, so that "
      "the ledger verifies as before; their content, and the sealed texts that it names, are "
      "gone. Not within retention_days (183 at least), and not while anybody is under legal "
      "hold. Recorded (RETENTION_DROP).",
      {{"DIR", kDirectoryHelp, false}},
      {{"--before", "", "DATE", "As 2026-05-31; midnight UTC."},
       {"--ground", "", "TEXT", "Why; stays in the ledger for ever."},
       kOperatorKey,
       kJson},
      kForLedger | kForDrop | kForOperator,
      {"aioss ledger drop --before 2026-01-01 --ground \"retention of one year\" "
       "--retention-days 365"}};
}

}  // namespace

std::vector<CommandSpec> privacy_specs() {
  return {ledger_subjects(), ledger_open(), ledger_hold(), ledger_erase(), ledger_drop()};
}

}  // namespace aioss::cli
