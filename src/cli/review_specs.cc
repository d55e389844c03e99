#include "cli/command_specs.h"

namespace aioss::cli {

std::vector<CommandSpec> review_specs() {
  return {{"review",
           "record what a person says of an answer",
           "Writes a HUMAN_REVIEW record that refers to the request. A comment is committed to "
           "with a random salt and is not written; the salt is printed, and with it and the "
           "comment anyone can show later what was said: keep both.\n"
           "The ledger must not be in use. While a server runs, send reviews to it: POST "
           "/v1/reviews, see docs/api.md.",
           {{"REQUEST", "Its id ('req_…', in every answer), or the number of one of its records."}},
           {{"--verdict", "", "VERDICT", "approved, rejected, overridden or escalated."},
            {"--by", "", "NAME", "Who reviewed it."},
            {"--comment", "", "TEXT", "Why; '-' reads it from standard input, 64 KiB at most."},
            {"--json", "", "", "Print JSON, for scripts."}},
           kForLedger,
           {"aioss review req_0123456789abcdef01234567 --verdict approved --by alice",
            "aioss review 1742 --verdict overridden --by bob --comment - < reasons.txt",
            "aioss review 1742 --verdict rejected --by bob --ledger /var/lib/aioss/ledger "
            "--json"}}};
}

}  // namespace aioss::cli
