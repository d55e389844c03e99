// Limits of this process that cannot be raised again. Call single-threaded.
#pragma once

#include <cstdint>

#include "base/result.h"

namespace aioss::os {

// Allocations beyond it fail. A no-op under sanitizers, which reserve terabytes.
Status limit_address_space(std::uint64_t bytes);
// The kernel kills the process after so many seconds of computing.
Status limit_cpu_time(std::uint64_t seconds);
// When memory runs out, the kernel ends this process before those of a lower score (-1000 … 1000;
// 0 unless somebody has said otherwise). Where that is not allowed it stays as it is: not vital.
// Before the sandbox.
void prefer_to_be_killed_for_memory(int score);

}  // namespace aioss::os
