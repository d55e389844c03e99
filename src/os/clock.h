// The real clock. Stateless, thread-safe.
#pragma once

#include "base/clock.h"

namespace aioss::os {

class SystemClock final : public Clock {
 public:
  std::int64_t wall_ns() const override;
  // Goes on while the machine sleeps, so that deadlines and records mean what they say after a
  // resume.
  std::int64_t monotonic_ns() const override;
};

}  // namespace aioss::os
