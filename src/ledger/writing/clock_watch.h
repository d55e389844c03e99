// Watches the wall clock beside the monotonic one, so that a clock that was set is a record (CLOCK)
// and not only a surprise. Time in nanoseconds. One thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/clock.h"
#include "codec/cbor.h"

namespace aioss::ledger {

// Network time mends a clock by fractions of a second; from here on somebody or something set it.
inline constexpr std::int64_t kClockJumpNs = 2'000'000'000;

struct ClockJump {
  std::int64_t jump_ns = 0;           // negative: set back
  std::int64_t expected_wall_ns = 0;  // the time there would be without it
};

class ClockWatch final {
 public:
  explicit ClockWatch(const Clock& clock);  // outlives this

  // By how much the wall clock went another way than the monotonic one since the last look, if that
  // is more than kClockJumpNs. Less is forgotten: drift is no jump.
  std::optional<ClockJump> look();

 private:
  const Clock& clock_;
  std::int64_t wall_ns_;
  std::int64_t monotonic_ns_;
};

// When a ledger is opened: the clock may not be behind its last record.
std::optional<ClockJump> behind_last_record(const Clock& clock, std::int64_t last_wall_ns);

// Body of a CLOCK record. `source`: a name in `clock_source`.
codec::Map clock_body(const ClockJump& jump, std::string_view source);

}  // namespace aioss::ledger
