// What the system says about memory. A value of functions, so that tests and the simulator bring
// their own machine. Called on the runtime thread; none may block for long.
#pragma once

#include <functional>

#include "os/memory.h"
#include "os/pressure.h"

namespace aioss::runtime {

struct MemorySource {
  std::function<Result<os::MemoryState>()> state = [] { return os::memory_state(); };
  // Of a worker, by process number; kNotFound once it has ended.
  std::function<Result<os::ProcessMemory>(int pid)> of_process = [](int pid) {
    return os::process_memory(pid);
  };
  std::function<os::Pressure()> pressure = [] { return os::memory_pressure(); };
};

}  // namespace aioss::runtime
