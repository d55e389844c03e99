// Limits of this process that cannot be raised again. Call single-threaded.
#pragma once

#include <cstdint>

#include "base/result.h"

namespace aioss::os {

// Allocations beyond it fail. A no-op under sanitizers, which reserve terabytes.
Status limit_address_space(std::uint64_t bytes);
// The kernel kills the process after so many seconds of computing.
Status limit_cpu_time(std::uint64_t seconds);

}  // namespace aioss::os
