// Which drivers of GPUs the kernel has loaded: for people who look for the reason why a GPU is not
// there, or slow. From /sys/module. Thread-safe.
#pragma once

#include <string>
#include <vector>

namespace aioss::os {

struct GpuDriver {
  std::string name;     // "nvidia", "amdgpu", …
  std::string version;  // its own; empty: it comes with the kernel
};

// `root` is put before every path, so that a test can bring its own /sys. Never fails.
std::vector<GpuDriver> gpu_drivers(const std::string& root = "");

}  // namespace aioss::os
