#include "os/clock.h"

#include <time.h>

#include "base/assert.h"

namespace aioss::os {
namespace {

std::int64_t read_clock(clockid_t id) {
  timespec now{};
  ASSERT(::clock_gettime(id, &now) == 0);
  return static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

std::int64_t SystemClock::wall_ns() const {
  return read_clock(CLOCK_REALTIME);
}
std::int64_t SystemClock::monotonic_ns() const {
  return read_clock(CLOCK_BOOTTIME);
}

}  // namespace aioss::os
