// A sealed request that was opened, for people: as the JSON that `aioss ledger open --json` and
// POST /admin/ledger/open give out, and as text. Pure functions.
#pragma once

#include <string>

#include "codec/json.h"
#include "ledger/custody/custody.h"

namespace aioss::runtime {

// {"kind":"chat","messages":[…]}, {"kind":"text","text":…} or {"kind":"tokens","tokens":[…]}: the
// prompt, from what was committed to (docs/formats/commitments.md). kCorrupt if it is nothing such.
Result<codec::OrderedJson> prompt_json(ByteView canonical);
Result<codec::OrderedJson> opened_json(const ledger::OpenedRequest& opened);
// Prompt and answers under headings.
Result<std::string> opened_text(const ledger::OpenedRequest& opened);

}  // namespace aioss::runtime
