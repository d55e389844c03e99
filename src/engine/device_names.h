// Devices of an engine by the names that settings, plans and records give them: "cpu", and for
// others the backend and a number among its own, "cuda:0", "vulkan:1". The engine's side of the
// name is its index.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "aioss/engine.h"
#include "base/result.h"
#include "engine/engine.h"

namespace aioss::engine {

struct NamedDevice {
  std::uint32_t index = 0;
  std::string name;
  aioss_device facts = {};
  bool is_cpu() const { return facts.kind == AIOSS_DEVICE_CPU; }
};

// In the engine's order. Initialises drivers; of kNames, none of a device.
Result<std::vector<NamedDevice>> named_devices(const aioss_engine& engine,
                                               DeviceDetail detail = DeviceDetail::kMemory);

// Of a list with commas: "cuda:0,cuda:1"; a name without a number is the first of its backend.
// None: the CPU. kInvalidArgument, with the names that there are, for one that is not there, is
// named twice, or stands beside "cpu".
Result<std::vector<NamedDevice>> find_devices(const std::vector<NamedDevice>& known,
                                              std::string_view wanted);

}  // namespace aioss::engine
