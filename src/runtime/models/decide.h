// A decision about a model, for its DECISION record (records/tally.h).
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/models/model.h"
#include "runtime/records/tally.h"

namespace aioss::runtime {

// By the name of a model, which is one of the catalogue or was.
inline void decide(Tally& tally, std::string_view kind, std::string_view outcome,
                   std::string_view reason, const Model& model,
                   std::vector<std::string> details = {}) {
  tally.decided({std::string(kind), std::string(outcome), std::string(reason), model.name, "",
                 std::move(details)});
}

}  // namespace aioss::runtime
