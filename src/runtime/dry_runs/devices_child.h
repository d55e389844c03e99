// Which devices engines find on this machine: asked of `aioss worker --devices`, one process for
// the engines that are linked and one for each plugin. What it says is bounded and checked; one
// that hangs is killed. Blocks; thread-safe.
#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "ipc/devices.h"
#include "plugins/engine_table.h"

namespace aioss::runtime {

// Of one plugin, or, null, of the engines that are linked. kEngineFailed: the process crashed, hung
// or spoke nonsense.
Result<std::vector<ipc::DeviceOfEngine>> ask_devices(const plugins::EngineImage* engine,
                                                     const std::string& executable,
                                                     const Clock& clock);

// What may be believed of what a process has said that was asked for `asked`: each device once, of
// that engine, with a name that a setting could have. The rest is left out.
std::vector<ipc::DeviceOfEngine> believable(std::vector<ipc::DeviceOfEngine> said,
                                            const plugins::EngineImage* asked);

struct DevicesOfEngines {
  std::vector<ipc::DeviceOfEngine> gpus;  // those that are no CPU, in the order of their engines
  std::vector<Error> failures;            // of engines that could not be asked; with their names
};
// Of all engines for GPUs. `engines` may be null: then there are none.
DevicesOfEngines ask_all_devices(const plugins::EngineTable* engines, const std::string& executable,
                                 const Clock& clock);

}  // namespace aioss::runtime
