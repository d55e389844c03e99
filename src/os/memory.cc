#include "os/memory.h"

#include <algorithm>
#include <string>

#include "base/strings.h"
#include "os/control_group.h"
#include "os/file.h"

namespace aioss::os {
namespace {

// "Name:   123 kB" lines of /proc/meminfo and /proc/PID/status.
std::optional<std::uint64_t> kilobytes_field(std::string_view text, std::string_view name) {
  for (const std::string_view line : split(text, '\n')) {
    if (!line.starts_with(name) || line.size() <= name.size() || line[name.size()] != ':') continue;
    std::string_view value = trim(line.substr(name.size() + 1));
    if (value.ends_with(" kB")) value.remove_suffix(3);
    const auto number = parse_u64(trim(value));
    if (!number) return std::nullopt;
    return *number * 1024;
  }
  return std::nullopt;
}

constexpr std::uint64_t kProcFileBytesMax = 64 << 10;

Result<ProcessMemory> memory_of(const std::string& process) {
  RealFileSystem fs;
  AIOSS_TRY(const Bytes text, read_file(fs, "/proc/" + process + "/status", kProcFileBytesMax));
  const auto resident = kilobytes_field(as_text(text), "VmRSS");
  const auto peak = kilobytes_field(as_text(text), "VmHWM");
  // A process that has ended and was not reaped has no memory lines.
  if (!resident || !peak) return Error{Code::kNotFound, "the process has ended"};
  // Since Linux 4.5; without them nothing is known to be of a file.
  const auto anonymous = kilobytes_field(as_text(text), "RssAnon");
  return ProcessMemory{*resident, *peak, anonymous.value_or(*resident),
                       kilobytes_field(as_text(text), "RssShmem").value_or(0),
                       kilobytes_field(as_text(text), "RssFile").value_or(0)};
}

}  // namespace

std::uint64_t MemoryState::usable() const {
  return group_available ? std::min(available, *group_available) : available;
}

Result<MemoryState> memory_state() {
  RealFileSystem fs;
  AIOSS_TRY(const Bytes text, read_file(fs, "/proc/meminfo", kProcFileBytesMax));
  const auto total = kilobytes_field(as_text(text), "MemTotal");
  const auto available = kilobytes_field(as_text(text), "MemAvailable");
  if (!total || !available) {
    return Error{Code::kUnsupported, "/proc/meminfo does not say how much memory is available"};
  }
  MemoryState state{*total, *available, std::nullopt, std::nullopt};
  if (const auto group = group_memory()) {
    state.group_limit = group->limit;
    state.group_available = group->available;
  }
  return state;
}

Result<ProcessMemory> process_memory() {
  return memory_of("self");
}
Result<ProcessMemory> process_memory(int pid) {
  return memory_of(std::to_string(pid));
}

}  // namespace aioss::os
