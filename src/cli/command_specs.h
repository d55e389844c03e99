// The commands of each area, in files of their own. command_table.cc puts them in order.
#pragma once

#include <vector>

#include "cli/args.h"

namespace aioss::cli {

std::vector<CommandSpec> proof_specs();    // `aioss ledger status|prove|export`
std::vector<CommandSpec> custody_specs();  // `aioss ledger protect`, …: keys, copies, two operators
std::vector<CommandSpec> privacy_specs();  // `aioss ledger open`, …: people, texts, retention
std::vector<CommandSpec> review_specs();   // `aioss review`
std::vector<CommandSpec> top_specs();      // `aioss top`
std::vector<CommandSpec> plan_specs();     // `aioss plan`
std::vector<CommandSpec> model_specs();    // `aioss ps|load|unload|pin`
std::vector<CommandSpec> models_specs();   // `aioss models …`
std::vector<CommandSpec> engine_specs();   // `aioss engine …`
std::vector<CommandSpec> anchor_specs();   // `aioss anchor …`, `aioss witness …`

}  // namespace aioss::cli
