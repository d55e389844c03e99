#include "os/control_group.h"

#include <algorithm>
#include <array>

#include "base/strings.h"
#include "os/file.h"

namespace aioss::os {
namespace {

constexpr std::uint64_t kPseudoFileBytesMax = 256 << 10;
constexpr std::size_t kDepthMax = 64;  // groups above one another; more is not plausible
// cgroup v1 writes "no limit" as the largest multiple of a page.
constexpr std::uint64_t kUnlimited = 1ULL << 60;

std::optional<std::uint64_t> read_number(const std::string& path) {
  const auto text = read_pseudo_file(path);
  return text ? parse_u64(*text) : std::nullopt;
}

std::uint64_t left_of(std::uint64_t limit, std::uint64_t used, std::uint64_t reclaimable) {
  const std::uint64_t held = used - std::min(used, reclaimable);
  return limit - std::min(limit, held);
}

struct MemoryFiles {
  const char *limit, *used;
  std::array<const char*, 2> reclaimable_keys;
};

void tighten(const std::string& directory, const MemoryFiles& files,
             std::optional<GroupMemory>& tightest) {
  const auto limit = read_number(directory + files.limit);  // "max" is no number
  if (!limit || *limit >= kUnlimited) return;
  const auto used = read_number(directory + files.used).value_or(0);
  const auto statistics = read_pseudo_file(directory + "/memory.stat").value_or("");
  std::uint64_t reclaimable = 0;
  for (const char* key : files.reclaimable_keys) reclaimable += field_of(statistics, key);
  const std::uint64_t left = left_of(*limit, used, reclaimable);
  if (!tightest) tightest = GroupMemory{*limit, left};
  tightest->limit = std::min(tightest->limit, *limit);
  tightest->available = std::min(tightest->available, left);
}

std::optional<double> quota_of(std::string_view quota, std::string_view period) {
  const auto granted = parse_u64(quota);  // "max" and "-1" are no numbers
  const auto of = parse_u64(period);
  if (!granted || !of || *of == 0) return std::nullopt;
  return static_cast<double>(*granted) / static_cast<double>(*of);
}

void tighten(std::optional<double> found, std::optional<double>& tightest) {
  if (found && (!tightest || *found < *tightest)) tightest = found;
}

}  // namespace

std::optional<std::string> read_pseudo_file(const std::string& path) {
  RealFileSystem fs;
  const auto bytes = read_file(fs, path, kPseudoFileBytesMax);
  if (!bytes) return std::nullopt;
  return std::string(trim(as_text(*bytes)));
}

std::uint64_t field_of(const std::string& text, std::string_view key) {
  for (const std::string_view line : split(text, '\n')) {
    if (!line.starts_with(key) || line.size() <= key.size() || line[key.size()] != ' ') continue;
    return parse_u64(trim(line.substr(key.size()))).value_or(0);
  }
  return 0;
}

std::vector<std::string> group_directories(const std::string& root, std::string_view controller) {
  const auto table = read_pseudo_file(root + "/proc/self/cgroup");
  if (!table) return {};
  for (const std::string_view line : split(*table, '\n')) {  // number:controllers:path
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string_view::npos || second == std::string_view::npos) continue;
    const std::string_view names = line.substr(first + 1, second - first - 1);
    const auto listed = split(names, ',');
    if (std::find(listed.begin(), listed.end(), controller) == listed.end()) continue;
    const std::string mount =
        root + "/sys/fs/cgroup" + (names.empty() ? "" : '/' + std::string(names));
    std::string path(line.substr(second + 1));
    while (path.ends_with('/')) path.pop_back();
    std::vector<std::string> out;
    while (!path.empty() && out.size() < kDepthMax) {
      out.push_back(mount + path);
      path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
    }
    out.push_back(mount);
    return out;
  }
  return {};
}

std::optional<GroupMemory> group_memory(const std::string& root) {
  constexpr MemoryFiles kV2{"/memory.max", "/memory.current", {"inactive_file", "active_file"}};
  constexpr MemoryFiles kV1{"/memory.limit_in_bytes",
                            "/memory.usage_in_bytes",
                            {"total_inactive_file", "total_active_file"}};
  std::optional<GroupMemory> tightest;
  for (const std::string& directory : group_directories(root, "")) {
    tighten(directory, kV2, tightest);
  }
  for (const std::string& directory : group_directories(root, "memory")) {
    tighten(directory, kV1, tightest);
  }
  return tightest;
}

std::optional<double> group_cpu_quota(const std::string& root) {
  std::optional<double> tightest;
  for (const std::string& directory : group_directories(root, "")) {
    const auto text = read_pseudo_file(directory + "/cpu.max");
    if (!text) continue;
    const auto parts = split(*text, ' ');
    if (parts.size() == 2) tighten(quota_of(parts[0], parts[1]), tightest);
  }
  for (const std::string& directory : group_directories(root, "cpu")) {
    tighten(quota_of(read_pseudo_file(directory + "/cpu.cfs_quota_us").value_or(""),
                     read_pseudo_file(directory + "/cpu.cfs_period_us").value_or("")),
            tightest);
  }
  return tightest;
}

}  // namespace aioss::os
