// Whether the machine, or the control group that this process is in, is short of memory: pressure
// stall information (PSI, Documentation/accounting/psi.rst of Linux) and the group's memory.events
// (admin-guide/cgroup-v2.rst). Reads pseudo files: not in a confined process. Thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace aioss::os {

struct Pressure {
  bool known = false;  // PSI is there
  // Percent of the last ten seconds in which some tasks, or all of them, waited for memory. Of the
  // group, if it has its own.
  double some_percent = 0, full_percent = 0;
  // So far, of the group and those below it: an allocation that could not be served, and a process
  // that was killed for it. 0 without a group; of version 1 both are the kills of the group itself.
  std::uint64_t out_of_memory = 0, killed = 0;
};

// `root` is put before every path, so that a test can bring its own /proc and /sys. Never fails:
// what is not there is not known.
Pressure memory_pressure(const std::string& root = "");

}  // namespace aioss::os
