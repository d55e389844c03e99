// A record on a terminal. What is in it, ledger/format/render.h says. Pure functions.
#pragma once

#include <string>

#include "ledger/format/render.h"

namespace aioss::cli {

// Time, type and the few fields that tell records apart, on one line.
std::string record_line(const ledger::Record& record, bool color);
// Every field on a line of its own.
std::string record_text(const ledger::Record& record, bool color);

}  // namespace aioss::cli
