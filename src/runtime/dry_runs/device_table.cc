#include "runtime/dry_runs/device_table.h"

#include <algorithm>
#include <set>

#include "base/strings.h"
#include "ipc/limits.h"

namespace aioss::runtime {
namespace {

constexpr std::string_view kCpu = "cpu", kAuto = "auto";

bool is_device_name(std::string_view name) {
  const std::size_t colon = name.find(':');
  const std::string_view backend = name.substr(0, colon);
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  if (backend.empty() || backend == kCpu || backend == kAuto) return false;
  if (!std::all_of(backend.begin(), backend.end(), is_letter)) return false;
  return colon == name.npos || parse_u64(name.substr(colon + 1)).has_value();
}

// A backend alone is its first device.
std::string full_name(std::string_view name) {
  return std::string(name) + (name.find(':') == name.npos ? ":0" : "");
}

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ",") + name;
  return out;
}

}  // namespace

bool is_device_setting(std::string_view text) {
  if (text == kCpu || text == kAuto) return true;
  if (text.size() > ipc::kDeviceBytesMax) return false;
  const auto parts = split(text, ',');
  return std::all_of(parts.begin(), parts.end(), is_device_name);
}

std::vector<std::string> names_of_devices(std::string_view text) {
  std::vector<std::string> out;
  if (text == kCpu || text.empty()) return out;
  for (const std::string_view part : split(text, ',')) out.push_back(full_name(part));
  return out;
}

std::vector<DeviceTable::Gpu> DeviceTable::all() const {
  std::lock_guard lock(mutex_);
  std::vector<Gpu> out;
  for (const ipc::DeviceOfEngine& gpu : gpus_) out.push_back({gpu, is_lost(gpu.name)});
  return out;
}

bool DeviceTable::knows(std::string_view engine, std::string_view names) const {
  std::lock_guard lock(mutex_);
  const std::vector<std::string> wanted = names_of_devices(names);
  const std::set<std::string> different(wanted.begin(), wanted.end());
  const auto is_known = [&](const std::string& name) {
    return std::any_of(gpus_.begin(), gpus_.end(), [&](const ipc::DeviceOfEngine& gpu) {
      return gpu.name == name && gpu.engine == engine;
    });
  };
  return !wanted.empty() && different.size() == wanted.size() &&
         std::all_of(wanted.begin(), wanted.end(), is_known);
}

bool DeviceTable::is_lost(std::string_view name) const {
  return lost_.contains(name);
}

std::vector<std::string> DeviceTable::candidates(std::string_view engine,
                                                 std::string_view setting) const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> out;
  if (setting == kAuto) {
    std::vector<const ipc::DeviceOfEngine*> able;
    for (const ipc::DeviceOfEngine& gpu : gpus_) {
      if (gpu.engine == engine && !is_lost(gpu.name)) able.push_back(&gpu);
    }
    std::stable_sort(able.begin(), able.end(),
                     [](const auto* a, const auto* b) { return a->bytes_free > b->bytes_free; });
    for (const auto* gpu : able) out.push_back(gpu->name);
    if (!able.empty()) out.push_back(joined(out));
  } else if (setting != kCpu) {
    std::vector<std::string> names = names_of_devices(setting);
    std::erase_if(names, [this](const std::string& name) { return is_lost(name); });
    if (!names.empty()) return {joined(names)};
  }
  out.emplace_back(kCpu);
  return out;
}

void DeviceTable::count_shared(ModelPlan& plan) const {
  std::lock_guard lock(mutex_);
  std::erase_if(plan.on_devices, [&](const ipc::DeviceNeeds& needs) {
    const auto found = std::find_if(gpus_.begin(), gpus_.end(), [&](const auto& gpu) {
      return gpu.name == needs.name && gpu.shares_memory;
    });
    if (found == gpus_.end()) return false;
    plan.needs.weights += needs.weights;
    plan.needs.kv += needs.kv;
    plan.needs.compute += needs.compute;
    return true;
  });
}

DeviceTable::Loss DeviceTable::lose(std::string_view names) {
  std::lock_guard lock(mutex_);
  const std::uint64_t number = ++losses_;
  std::vector<std::string> newly;
  for (const std::string& name : names_of_devices(names)) {
    if (!is_lost(name)) newly.push_back(name);
    lost_[name] = number;
  }
  return {joined(newly), number};
}

std::string DeviceTable::give_back(const Loss& loss) {
  std::lock_guard lock(mutex_);
  std::vector<std::string> given;
  for (const std::string& name : names_of_devices(loss.names)) {
    const auto found = lost_.find(name);
    if (found == lost_.end() || found->second != loss.number) continue;
    lost_.erase(found);
    given.push_back(name);
  }
  return joined(given);
}

}  // namespace aioss::runtime
