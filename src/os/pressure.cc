#include "os/pressure.h"

#include <charconv>
#include <optional>
#include <string_view>

#include "base/strings.h"
#include "os/control_group.h"

namespace aioss::os {
namespace {

// "some avg10=0.12 avg60=0.00 avg300=0.00 total=1234"
std::optional<double> average_of(std::string_view text, std::string_view which) {
  constexpr std::string_view kKey = "avg10=";
  for (const std::string_view line : split(text, '\n')) {
    const auto parts = split(line, ' ');
    if (parts.size() < 2 || parts[0] != which || !parts[1].starts_with(kKey)) continue;
    const std::string_view number = parts[1].substr(kKey.size());
    double value = 0;
    const auto read = std::from_chars(number.data(), number.data() + number.size(), value);
    const bool good = read.ec == std::errc() && value >= 0 && value <= 100;
    return good ? std::optional(value) : std::nullopt;
  }
  return std::nullopt;
}

bool take_stalls(const std::string& path, Pressure& pressure) {
  const auto text = read_pseudo_file(path);
  if (!text) return false;
  const auto some = average_of(*text, "some"), full = average_of(*text, "full");
  if (!some) return false;
  pressure.known = true;
  pressure.some_percent = *some;
  pressure.full_percent = full.value_or(0);
  return true;
}

// Version 1 counts no allocation that failed, only those that a process was killed for.
void take_kills(const std::string& root, Pressure& pressure) {
  const auto directories = group_directories(root, "memory");
  if (directories.empty()) return;
  const auto text = read_pseudo_file(directories.front() + "/memory.oom_control");
  pressure.out_of_memory = pressure.killed = field_of(text.value_or(""), "oom_kill");
}

}  // namespace

Pressure memory_pressure(const std::string& root) {
  Pressure pressure;
  take_kills(root, pressure);
  const auto directories = group_directories(root, "");
  if (!directories.empty()) {
    const std::string& own = directories.front();
    const std::string events = read_pseudo_file(own + "/memory.events").value_or("");
    pressure.out_of_memory += field_of(events, "oom");
    pressure.killed += field_of(events, "oom_kill");
    if (take_stalls(own + "/memory.pressure", pressure)) return pressure;
  }
  take_stalls(root + "/proc/pressure/memory", pressure);
  return pressure;
}

}  // namespace aioss::os
