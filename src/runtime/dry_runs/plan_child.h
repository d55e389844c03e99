// One dry run: starts `aioss worker --plan`, hands it the model's files, reads what it says. The
// child has parsed an untrusted file, so what it says is bounded, checked and cut; one that hangs
// is killed. Blocks; thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "ipc/plan.h"
#include "plugins/engine_table.h"
#include "runtime/catalogue/catalogue.h"

namespace aioss::runtime {

struct PlanChildOptions {
  std::string executable = "/proc/self/exe";
  std::shared_ptr<const plugins::EngineImage> engine = {};  // null or linked: it has it in itself
  // A child limits itself to half of that in processor time; on a busy machine that takes longer.
  std::chrono::milliseconds time_max{60'000};
};

// kModelCorrupt: the file is damaged, or its child crashed, hung or spoke nonsense; with a plugin
// kEngineFailed, for then nobody knows whose fault that was. kShuttingDown
// soon after `stop` is set. Otherwise what the child reported.
Result<ipc::PlanReport> run_plan_child(const OpenModel& files, const ipc::PlanAsk& ask,
                                       const PlanChildOptions& options, const Clock& clock,
                                       const std::atomic<bool>& stop);

}  // namespace aioss::runtime
