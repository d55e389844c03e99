// Whether the engine thread comes back: it writes when a turn of it begins and what that may take,
// and whoever answers the gateway's pings looks. An engine that hangs is known by nothing else, for
// the other threads go on.
//
// A turn may take two minutes, and two seconds more for each token of its call: nobody waits for a
// machine that is so slow.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/clock.h"

namespace aioss::worker {

class TurnWatch final {
 public:
  static constexpr std::int64_t kTurnNs = 120 * kNsPerSecond;
  static constexpr std::int64_t kTokenNs = 2 * kNsPerSecond;

  // The engine thread. A turn is over with this object.
  class Turn final {
   public:
    Turn(TurnWatch& watch, std::int64_t now_ns) : watch_(watch) {
      watch_.due_ns_ = now_ns + kTurnNs;
    }
    ~Turn() { watch_.due_ns_ = kNever; }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    TurnWatch& watch_;
  };
  // In a turn: a call of so many tokens is made.
  void allow(std::size_t tokens) {
    if (due_ns_ != kNever) due_ns_ += static_cast<std::int64_t>(tokens) * kTokenNs;
  }

  // Any thread.
  bool is_overdue(std::int64_t now_ns) const { return now_ns >= due_ns_; }

 private:
  static constexpr std::int64_t kNever = INT64_MAX;
  std::atomic<std::int64_t> due_ns_{kNever};
};

}  // namespace aioss::worker
