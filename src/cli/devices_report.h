// What `aioss devices` shows. Values and pure functions.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "os/bandwidth.h"
#include "os/cpu.h"
#include "os/gpu_drivers.h"
#include "os/memory.h"
#include "runtime/dry_runs/devices_child.h"

namespace aioss::cli {

struct DevicesFacts {
  os::CpuInfo cpu;
  os::CpuBudget budget;
  std::string built_for;  // the level of the linked engine
  std::optional<os::ReadBandwidth> bandwidth;
  std::optional<os::MemoryState> memory;
  runtime::DevicesOfEngines found;
  std::size_t gpu_engines = 0;  // that were asked
  std::vector<os::GpuDriver> drivers;
};

std::string devices_text(const DevicesFacts& facts, std::size_t columns, bool color);
std::string devices_json(const DevicesFacts& facts);

}  // namespace aioss::cli
