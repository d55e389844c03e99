// Limits that control groups (cgroup v1 and v2) put on this process: its own group and every one
// above it, because the tightest counts. Internal to os; thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace aioss::os {

// `root` is put before every path, so that a test can bring its own /proc and /sys; "" for the real
// ones.
struct GroupMemory {
  std::uint64_t limit = 0, available = 0;
};
std::optional<GroupMemory> group_memory(const std::string& root = "");
std::optional<double> group_cpu_quota(const std::string& root = "");  // in processors

}  // namespace aioss::os
