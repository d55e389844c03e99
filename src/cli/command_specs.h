// The commands of each area, in files of their own. command_table.cc puts them in order.
#pragma once

#include <vector>

#include "cli/args.h"

namespace aioss::cli {

// What several have in common: of what they print, and of a running server.
inline constexpr Flag kJson{"--json", "", "", "Print JSON, for scripts."};
inline constexpr Flag kApiKey{"--key", "", "KEY",
                              "Your API key, or @FILE that holds it, if the server wants one."};
inline constexpr Flag kNoWait{"--no-wait", "", "", "Come back once the order is taken."};

std::vector<CommandSpec> proof_specs();    // `aioss ledger status|prove|export`
std::vector<CommandSpec> custody_specs();  // `aioss ledger protect`, …: keys, copies, two operators
std::vector<CommandSpec> privacy_specs();  // `aioss ledger open`, …: people, texts, retention
std::vector<CommandSpec> review_specs();   // `aioss review`
std::vector<CommandSpec> top_specs();      // `aioss top`
std::vector<CommandSpec> plan_specs();     // `aioss plan`
std::vector<CommandSpec> devices_specs();  // `aioss devices`
std::vector<CommandSpec> tune_specs();     // `aioss tune`
std::vector<CommandSpec> model_specs();    // `aioss ps|load|unload|pin`
std::vector<CommandSpec> engine_switch_specs();  // `aioss engine switch|pin|rollback`
std::vector<CommandSpec> update_specs();         // `aioss update …`
std::vector<CommandSpec> models_specs();         // `aioss models …`
std::vector<CommandSpec> engine_specs();         // `aioss engine …`
std::vector<CommandSpec> anchor_specs();         // `aioss anchor …`, `aioss witness …`

}  // namespace aioss::cli
