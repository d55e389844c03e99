// Question and answer of a plan. Values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "os/memory.h"
#include "runtime/dry_runs/child_planner.h"

namespace aioss::runtime {

struct PlanCall {
  std::string model;
  // Absent: as the gateway's options have it. 0: as the worker would choose.
  std::optional<std::uint64_t> context_tokens, parallel;
  std::optional<std::string> kv_type;
  std::optional<std::string> device = {};
  std::vector<std::string> adapters = {};  // loaded beside it; names of the catalogue
};

// How a new file of a model that is loaded takes its place: beside it, which then drains, or only
// after it.
enum class ReplacementOrder { kBeside, kInTurn };
std::string_view name(ReplacementOrder order);  // "beside", "in_turn"

struct PlanAnswer {
  std::string model, engine;
  ipc::Profile profile = ipc::Profile::kFast;
  std::string kv_type;
  ModelPlan plan;
  std::uint32_t context_tokens_train = 0;
  os::MemoryState memory;
  std::vector<ipc::PlanDevice> devices;
  bool fits = false;                // committed() into memory.usable()
  std::vector<PlanOption> options;  // that fit, if it does not
  std::vector<std::string> would_evict;
  std::optional<ReplacementOrder> replacement;  // of a model that is loaded now
};

}  // namespace aioss::runtime
