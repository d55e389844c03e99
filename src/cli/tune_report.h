// What `aioss tune` prints. Pure functions.
#pragma once

#include <string>

#include "codec/json.h"
#include "runtime/tuning/tuning_store.h"

namespace aioss::cli {

// "llama flash=off  measured  1 × 98 tok/s …": a line while it measures.
std::string tune_line(const runtime::TuneMeasurement& measurement);
// A table of the candidates, and what was chosen and why.
std::string tune_text(const runtime::Tuning& tuning, std::size_t columns, bool color);
codec::OrderedJson tune_json(const runtime::Tuning& tuning);

}  // namespace aioss::cli
