// From measurements to a choice: the candidate that is the fastest on the whole among those that
// are nowhere slower than what is computed without tuning; another engine may be slower in one
// regime, by little, if it gains much on the whole. If none gains, what is computed without tuning.
// Pure; values.
#pragma once

#include <array>
#include <bitset>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "ipc/tune.h"

namespace aioss::runtime {

// Differences up to this are noise: who is slower by no more is not slower, and nothing is changed
// for a gain of less.
inline constexpr double kTuningNoise = 0.03;
// An engine is measured in a process of its own, and processes differ more than runs do: the same
// comparison of two engines, in decode of one, came to 1.14, 1.09, 0.98 and 0.94 within a quarter
// of an hour, each the best of three to eleven rounds. So another engine may lose so much in one
// regime...
inline constexpr double kSmallLoss = 0.08;
// ... if it gains so much on the whole.
inline constexpr double kLargeGain = 0.25;

struct TuneCandidate {
  std::string engine;
  ipc::Knobs knobs;  // 0: as a worker would choose
  auto operator<=>(const TuneCandidate&) const = default;
};
// "llama threads=2 flash=off"; only what is not left to the worker.
std::string text(const TuneCandidate& candidate);

enum class TuneState : std::uint8_t {
  kMeasured = 0,
  kUnsafe = 1,      // it crashed, hung, failed its canary or a run
  kRefused = 2,     // its engine cannot do this
  kUnfinished = 3,  // there was no time for it
};
std::string_view name(TuneState state);  // "measured", "unsafe", …

// The best of several runs, of it and, in turns, of what is computed without tuning. 0: not
// measured.
struct TuneRegime {
  std::uint64_t ns_per_token = 0, default_ns_per_token = 0;
  bool is_measured() const { return ns_per_token > 0 && default_ns_per_token > 0; }
  // 2: twice as fast. Of what is measured.
  double speedup() const;
  bool operator==(const TuneRegime&) const = default;
};

using RegimeSet = std::bitset<ipc::kRegimes>;
inline constexpr RegimeSet kAllRegimes{(1U << ipc::kRegimes) - 1};

struct TuneMeasurement {
  TuneCandidate candidate;
  TuneState state = TuneState::kUnfinished;
  std::string reason;  // why it is not measured; "" if it is
  std::array<TuneRegime, ipc::kRegimes> regimes{};
  // The geometric mean over the regimes that were measured; nothing if none was.
  std::optional<double> speedup() const;
  // By less than the noise is not slower. The slowest regime of these, if it is.
  std::optional<ipc::Regime> slower_in(RegimeSet among = kAllRegimes) const;
  const TuneRegime& in(ipc::Regime regime) const {
    return regimes[static_cast<std::size_t>(regime)];
  }
  bool operator==(const TuneMeasurement&) const = default;
};

struct TuneChoice {
  std::size_t index = 0;  // of the measurements
  std::string why;        // for people, one line
};
// The first is what is computed without tuning; there is one.
TuneChoice choose(std::span<const TuneMeasurement> measurements);

}  // namespace aioss::runtime
