// A record for people and for scripts: numbers become names. Unknown keys and types are shown as
// they are, so that a newer ledger is still readable. Pure functions.
#pragma once

#include <string>

#include "codec/json.h"
#include "ledger/record.h"

namespace aioss::cli {

codec::OrderedJson record_json(const ledger::Record& record);
std::string record_type_name(ledger::RecordType type);  // "INFER_REQUEST", "type 40000"
// Time, type and the few fields that tell records apart, on one line.
std::string record_line(const ledger::Record& record, bool color);
// Every field on a line of its own.
std::string record_text(const ledger::Record& record, bool color);

}  // namespace aioss::cli
