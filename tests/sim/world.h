// Virtual time and what happens in it. Every actor of a run does something only when an event of it
// is due; the next event is the one that is due first, and among equals chance decides. Nothing
// runs beside it, nothing sleeps, so a run is a function of its seed. One thread.
//
// The trace is what happened, a line an event; its digest says whether two runs were the same.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <queue>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "tests/sim/dice.h"

namespace aioss::sim {

inline constexpr std::int64_t kMicro = 1'000;
inline constexpr std::int64_t kMilli = 1'000'000;
inline constexpr std::int64_t kSecond = 1'000'000'000;

class World final : public Clock {
 public:
  World(std::uint64_t seed, bool print_trace) : dice(seed, 1), print_(print_trace) {}

  Dice dice;  // of what happens when

  std::int64_t wall_ns() const override { return kWallBegin + now_ + wall_jump_ns; }
  std::int64_t monotonic_ns() const override { return now_; }
  std::int64_t now() const { return now_; }
  std::int64_t wall_jump_ns = 0;  // what somebody has set the wall clock by

  void at(std::int64_t when_ns, std::function<void()> what);
  void after(std::int64_t ns, std::function<void()> what) { at(now_ + ns, std::move(what)); }
  // The next event. False: there is none, or an invariant is broken.
  bool step();
  std::uint64_t steps() const { return steps_; }

  // A line of the trace.
  void note(std::string_view line);
  std::uint64_t digest() const { return digest_; }
  // The first one counts, and ends the run.
  void violated(std::string invariant);
  const std::optional<std::string>& violation() const { return violation_; }

 private:
  static constexpr std::int64_t kWallBegin = 1'750'000'000 * kSecond;
  struct Event {
    std::int64_t at = 0;
    std::uint64_t tie = 0, number = 0;
    std::function<void()> what;
    bool operator<(const Event& other) const {  // the queue's top is the last
      if (at != other.at) return at > other.at;
      return tie != other.tie ? tie > other.tie : number > other.number;
    }
  };

  const bool print_;
  std::int64_t now_ = 1'000 * kSecond;
  std::priority_queue<Event> events_;
  std::uint64_t events_made_ = 0, steps_ = 0;
  std::uint64_t digest_ = 0xCBF29CE484222325U;  // FNV-1a, 64 bits
  std::optional<std::string> violation_;
};

}  // namespace aioss::sim
