// From what a gateway asks for and what the model and engine are, to what scheduler and session are
// made with. Pure functions.
#pragma once

#include <cstdint>

#include "aioss/engine.h"
#include "ipc/messages.h"
#include "worker/abort_board.h"
#include "worker/scheduler.h"

namespace aioss::worker {

SchedulerOptions scheduler_options(const ipc::Configure& configure, const aioss_model_facts& facts,
                                   const aioss_engine& engine);
// The session asks `board`, which outlives it, whether to go on. kInvalidArgument: no such kv_type.
Result<aioss_session_options> session_options(const SchedulerOptions& scheduler,
                                              const ipc::Configure& configure,
                                              std::uint32_t threads, AbortBoard& board);

}  // namespace aioss::worker
