// How much memory there is and how much is used. Reads /proc and the control groups: not in a
// process that has entered the second stage of its sandbox (its parent can ask for it).
// Thread-safe.
#pragma once

#include <cstdint>
#include <optional>

#include "base/result.h"

namespace aioss::os {

struct MemoryState {
  std::uint64_t total = 0;
  std::uint64_t available = 0;  // MemAvailable: what can be had without swapping
  // The tightest control group above this process, if any has a limit: the limit and what is left
  // of it, counting file pages, which the kernel would give back (as MemAvailable does).
  std::optional<std::uint64_t> group_limit;
  std::optional<std::uint64_t> group_available;
  // What may be planned with: the smaller of the two.
  std::uint64_t usable() const;
};
Result<MemoryState> memory_state();

struct ProcessMemory {
  std::uint64_t resident = 0;  // now (VmRSS)
  std::uint64_t peak = 0;      // highest so far (VmHWM)
  // What `resident` is made of. Mapped pages of files can be had back from the disk; the others are
  // gone from what is available as long as the process has them.
  std::uint64_t anonymous = 0, shared = 0, mapped = 0;  // RssAnon, RssShmem, RssFile
};
// Of this process, or of another one by number; kNotFound once it has ended.
Result<ProcessMemory> process_memory();
Result<ProcessMemory> process_memory(int pid);

}  // namespace aioss::os
