#include "ledger/writing/clock_watch.h"

#include <algorithm>

#include "ledger/format/record.h"

namespace aioss::ledger {

ClockWatch::ClockWatch(const Clock& clock)
    : clock_(clock), wall_ns_(clock.wall_ns()), monotonic_ns_(clock.monotonic_ns()) {}

std::optional<ClockJump> ClockWatch::look() {
  const std::int64_t wall = clock_.wall_ns();
  const std::int64_t monotonic = clock_.monotonic_ns();
  const std::int64_t expected = wall_ns_ + (monotonic - monotonic_ns_);
  wall_ns_ = wall;
  monotonic_ns_ = monotonic;
  const std::int64_t jump = wall - expected;
  if (jump <= kClockJumpNs && jump >= -kClockJumpNs) return std::nullopt;
  return ClockJump{jump, expected};
}

std::optional<ClockJump> behind_last_record(const Clock& clock, std::int64_t last_wall_ns) {
  const std::int64_t wall = clock.wall_ns();
  if (wall >= last_wall_ns) return std::nullopt;
  return ClockJump{wall - last_wall_ns, last_wall_ns};
}

codec::Map clock_body(const ClockJump& jump, std::string_view source) {
  namespace own = key::clock;
  using codec::Value;
  const std::int64_t expected = std::max<std::int64_t>(jump.expected_wall_ns, 0);
  codec::Map body;
  body.set(own::kJumpNs, Value::integer(jump.jump_ns))
      .set(own::kExpectedWallNs, Value::uint(static_cast<std::uint64_t>(expected)))
      .set(own::kSource, Value::text(source));
  return body;
}

}  // namespace aioss::ledger
