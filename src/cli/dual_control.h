// The steps of a command whose action may need two operators (ledger/writing/policy.h): the first
// call requests it, `aioss ledger approve` is another operator's, and the second call, with
// --request, does it. Blocking; the ledger is open.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "cli/args.h"
#include "cli/operators.h"
#include "crypto/random.h"
#include "ledger/writing/ledger.h"

namespace aioss::cli {

struct Consent {
  bool given = false;                  // go on; otherwise it was requested, and that is all
  std::string request_id;              // "" without dual control
  std::vector<std::string> approvals;  // for the action's own record
  std::vector<std::string> details;    // as they were requested
};

struct ActionCall {
  std::string_view action;           // ledger::kRotateAction, …
  std::vector<std::string> details;  // what exactly: "reason=…"
};

// Records the request, or the use of --request ID, as the ledger's policy has it. Without dual
// control for the action: given at once. kUsage: an operator's key is needed, or --request names
// something where nothing is to be approved.
Result<Consent> consent(ledger::Ledger& ledger, const Services& services,
                        const Invocation& invocation, const Commander& commander,
                        const ActionCall& call);

// The value of the detail "name=…"; "" if there is none.
std::string detail(const std::vector<std::string>& details, std::string_view name);

}  // namespace aioss::cli
