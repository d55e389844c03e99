// The processor: its name, what it can do, how much of it this process may use. Reads /proc and
// /sys: not in a process that has entered the second stage of its sandbox. Thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace aioss::os {

struct CpuInfo {
  std::string model;                  // "AMD EPYC 9R14", "" if unknown
  std::vector<std::string> features;  // the kernel's flags, sorted: "avx2", "asimd", …
  bool has(std::string_view feature) const;
};
Result<CpuInfo> cpu_info();

struct CpuBudget {
  unsigned logical = 1;   // processors this process may run on (affinity)
  unsigned physical = 1;  // cores among them, counting two threads of a core once
  // Cores' worth of time that the control groups grant, if they limit it at all.
  std::optional<double> quota;
  // Threads worth starting for arithmetic: physical cores, not more than the quota, at least 1.
  unsigned usable_cores() const;
};
CpuBudget cpu_budget();

// The highest level whose instructions it has all: "x86-64", "x86-64-v2", …, "armv8-a",
// "armv8.2-a"; "" if it is none of these processors, or nothing is known of it.
std::string cpu_level_of(const CpuInfo& cpu);

// One sentence if `cpu` lacks something of `level` (one of the above, or "native", which asks
// for nothing); nothing if it has it all. An unknown level is a bug.
std::optional<std::string> cpu_level_problem(std::string_view level, const CpuInfo& cpu);

}  // namespace aioss::os
