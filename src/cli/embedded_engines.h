// Engines that the binary carries as bytes: from here on they are like installed ones, but for
// their origin. Blocking.
#pragma once

#include "cli/services.h"
#include "os/cpu.h"
#include "plugins/engine_table.h"

namespace aioss::cli {

// Those that this processor can run, each in a sealed memory file; of one of which nothing is known
// (null), those that need no level of it. One of the name of a linked
// engine takes its place, and the log says which level was chosen. What cannot be used is logged,
// and whatever had that name before stays.
void put_embedded(const Services& services, const os::CpuInfo* cpu, plugins::EngineTable& table);

}  // namespace aioss::cli
