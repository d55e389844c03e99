// Time comes in through this interface, so that tests and the simulator can own it. The real clock
// is os/clock.h. Thread-safe.
#pragma once

#include <cstdint>

namespace aioss {

inline constexpr std::int64_t kNsPerMs = 1'000'000;
inline constexpr std::int64_t kNsPerSecond = 1'000'000'000;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual std::int64_t wall_ns() const = 0;       // since 1970-01-01 UTC; may jump
  virtual std::int64_t monotonic_ns() const = 0;  // since some fixed point; never goes back
};

}  // namespace aioss
