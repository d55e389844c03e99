// Limits that control groups (cgroup v1 and v2) put on this process: its own group and every one
// above it, because the tightest counts. Internal to os; thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace aioss::os {

// `root` is put before every path, so that a test can bring its own /proc and /sys; "" for the real
// ones.
struct GroupMemory {
  std::uint64_t limit = 0, available = 0;
};
std::optional<GroupMemory> group_memory(const std::string& root = "");
// The directories of this process's group and of those above it, nearest first: for a v1
// controller, or for v2 ("").
std::vector<std::string> group_directories(const std::string& root, std::string_view controller);
// The number of a "key value" line; 0 if there is none.
std::uint64_t field_of(const std::string& text, std::string_view key);
// A small file of the kernel, trimmed; nothing if it cannot be read.
std::optional<std::string> read_pseudo_file(const std::string& path);

std::optional<double> group_cpu_quota(const std::string& root = "");  // in processors

}  // namespace aioss::os
