#include "runtime/settings/tuning_choice.h"

#include <cmath>
#include <cstdio>

#include "base/assert.h"

namespace aioss::runtime {
namespace {

constexpr std::array<std::string_view, 4> kStates{"measured", "unsafe", "refused", "unfinished"};

void add(std::string& out, std::string_view name, std::uint32_t value) {
  if (value > 0) out += " " + std::string(name) + "=" + std::to_string(value);
}

std::string two_places(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.2f", value);
  return text.data();
}

}  // namespace

std::string text(const TuneCandidate& candidate) {
  std::string out = candidate.engine;
  add(out, "threads", candidate.knobs.threads);
  add(out, "threads_batch", candidate.knobs.threads_batch);
  add(out, "micro_batch", candidate.knobs.micro_batch_tokens_max);
  if (candidate.knobs.flash_attention != ipc::FlashAttention::kEngine) {
    out += " flash=" + std::string(ipc::name(candidate.knobs.flash_attention));
  }
  return out;
}

std::string_view name(TuneState state) {
  const auto index = static_cast<std::size_t>(state);
  ASSERT(index < kStates.size());
  return kStates[index];
}

double TuneRegime::speedup() const {
  ASSERT(is_measured());
  return static_cast<double>(default_ns_per_token) / static_cast<double>(ns_per_token);
}

std::optional<double> TuneMeasurement::speedup() const {
  double logs = 0;
  int count = 0;
  for (const TuneRegime& regime : regimes) {
    if (!regime.is_measured()) continue;
    logs += std::log(regime.speedup());
    ++count;
  }
  if (count == 0) return std::nullopt;
  return std::exp(logs / count);
}

std::optional<ipc::Regime> TuneMeasurement::slower_in() const {
  std::optional<ipc::Regime> slowest;
  double least = 1.0 - kTuningNoise;
  for (std::size_t i = 0; i < regimes.size(); ++i) {
    if (!regimes[i].is_measured() || regimes[i].speedup() >= least) continue;
    least = regimes[i].speedup();
    slowest = static_cast<ipc::Regime>(i);
  }
  return slowest;
}

namespace {

// Of those that count, in their order: each has to gain more than noise does over the one before,
// because those that were tried later have more settings. 0: none gains `least`.
template <typename Counts>
std::size_t fastest(std::span<const TuneMeasurement> measurements, double least, Counts counts) {
  std::size_t found = 0;
  double needed = least;
  for (std::size_t i = 1; i < measurements.size(); ++i) {
    const auto speedup = measurements[i].speedup();
    const bool measured = measurements[i].state == TuneState::kMeasured && speedup.has_value();
    if (!measured || *speedup < needed || !counts(measurements[i])) continue;
    found = i;
    needed = *speedup * (1.0 + kTuningNoise);
  }
  return found;
}

bool loses_nowhere(const TuneMeasurement& one) {
  return !one.slower_in();
}

bool loses_little(const TuneMeasurement& one) {
  const auto slowest = one.slower_in();
  return slowest && one.in(*slowest).speedup() >= 1.0 - kSmallLoss;
}

std::string gain_text(const TuneMeasurement& chosen) {
  std::string out = two_places(*chosen.speedup()) + " times as fast on the whole, and ";
  const auto slowest = chosen.slower_in();
  if (!slowest) return out + "nowhere slower";
  return out + two_places(chosen.in(*slowest).speedup()) + " times in " +
         std::string(ipc::name(*slowest));
}

}  // namespace

TuneChoice choose(std::span<const TuneMeasurement> measurements) {
  ASSERT(!measurements.empty());
  const double noise = 1.0 + kTuningNoise;
  TuneChoice choice;
  choice.index = fastest(measurements, noise, loses_nowhere);
  const double without_loss = choice.index > 0 ? *measurements[choice.index].speedup() : 1.0;
  const std::size_t with_loss =
      fastest(measurements, without_loss * (1.0 + kLargeGain), loses_little);
  if (with_loss > 0) choice.index = with_loss;
  if (choice.index > 0) {
    choice.why = gain_text(measurements[choice.index]);
    return choice;
  }
  const std::size_t refused =
      fastest(measurements, noise, [](const TuneMeasurement& one) { return !loses_nowhere(one); });
  choice.why = "nothing else was faster";
  if (refused > 0) {
    const TuneMeasurement& one = measurements[refused];
    choice.why = text(one.candidate) + " is faster on the whole, but slower in " +
                 std::string(ipc::name(*one.slower_in()));
  }
  return choice;
}

}  // namespace aioss::runtime
