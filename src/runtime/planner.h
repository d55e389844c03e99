// Dry runs of models by short-lived confined children (`aioss worker --plan`), on a thread of
// their own; cached by the files' identity and what is wanted. The gateway parses no model itself.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "ipc/messages.h"
#include "memory/needs.h"
#include "runtime/catalogue.h"

namespace aioss::runtime {

struct PlanWanted {
  std::string engine;
  ipc::Profile profile = ipc::Profile::kFast;
  // 0: as the worker would choose.
  std::uint32_t streams = 0, cells_per_stream = 0, threads = 0;
  std::string kv_type = "f16";
  std::uint64_t prefix_bytes = 0, spill_bytes = 0;
  Digest engine_sha256 = {};  // of the engine's file; zeros: it is linked
  auto operator<=>(const PlanWanted&) const = default;
};

struct ModelPlan {
  memory::Needs needs;
  bool exact = false;
  std::uint32_t streams = 0, cells_per_stream = 0;
  std::string device = "CPU";
};

class Planner {
 public:
  virtual ~Planner() = default;
  using Done = std::function<void(Result<ModelPlan>)>;  // called on any thread, exactly once
  // Never blocks.
  virtual void plan(std::shared_ptr<const OpenModel> files, PlanWanted wanted, Done done) = 0;
};

}  // namespace aioss::runtime
