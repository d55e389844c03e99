// Dry runs of models by short-lived confined children (`aioss worker --plan`), on threads of
// their own; cached by the files' identity and what is wanted. The gateway parses no model itself.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "ipc/messages.h"
#include "ipc/plan.h"
#include "memory/needs.h"
#include "runtime/catalogue/catalogue.h"

namespace aioss::runtime {

struct PlanWanted {
  std::string engine;
  ipc::Profile profile = ipc::Profile::kFast;
  // 0: as the worker would choose.
  std::uint32_t streams = 0, cells_per_stream = 0, threads = 0;
  std::string kv_type = "f16";
  std::uint64_t prefix_bytes = 0, spill_bytes = 0;
  // Where layers are to be, as "cpu" or "cuda:0,cuda:1", never "auto" and, once a planner is asked,
  // never empty; and how much each of these devices has room for, so that only as many go there.
  // None: all do.
  std::string device;
  std::vector<std::uint64_t> device_rooms = {};
  Digest engine_sha256 = {};  // of the engine's file; zeros: it is linked
  std::uint32_t threads_batch = 0, micro_batch_tokens_max = 0;  // 0: as ipc::Configure has it
  ipc::FlashAttention flash_attention = ipc::FlashAttention::kEngine;
  auto operator<=>(const PlanWanted&) const = default;
};

struct ModelPlan {
  memory::Needs needs;
  bool exact = false;
  std::uint32_t streams = 0, cells_per_stream = 0;
  std::string device = "CPU";     // whose memory `needs` is of: the host's
  std::string layers_on = "cpu";  // "cuda:0,cuda:1"; "cpu" if no layer fits elsewhere
  ipc::Layers layers = {};        // how many of them
  std::vector<ipc::DeviceNeeds> on_devices = {};
};

class Planner {
 public:
  virtual ~Planner() = default;
  using Done = std::function<void(Result<ModelPlan>)>;  // called on any thread, exactly once
  // Never blocks.
  virtual void plan(std::shared_ptr<const OpenModel> files, PlanWanted wanted, Done done) = 0;
};

}  // namespace aioss::runtime
