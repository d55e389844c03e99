// The parts of the command table that have a file of their own, in the order of --help. Values.
#pragma once

#include <vector>

#include "cli/args.h"

namespace aioss::cli {

std::vector<CommandSpec> anchor_specs();  // anchor …, witness …

}  // namespace aioss::cli
