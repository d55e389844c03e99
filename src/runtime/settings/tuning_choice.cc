#include "runtime/settings/tuning_choice.h"

#include <algorithm>
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

bool is_slower(const TuneRegime& regime) {
  return regime.is_measured() && regime.speedup() < 1.0 - kTuningNoise;
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

std::optional<ipc::Regime> TuneMeasurement::slower_in(RegimeSet among) const {
  std::optional<ipc::Regime> slowest;
  for (std::size_t i = 0; i < regimes.size(); ++i) {
    if (!among[i] || !is_slower(regimes[i])) continue;
    if (slowest && regimes[i].speedup() >= in(*slowest).speedup()) continue;
    slowest = static_cast<ipc::Regime>(i);
  }
  return slowest;
}

namespace {

bool loses_little(const TuneMeasurement& one) {
  return std::count_if(one.regimes.begin(), one.regimes.end(), is_slower) == 1 &&
         one.in(*one.slower_in()).speedup() >= 1.0 - kSmallLoss;
}

bool may_be_chosen(const TuneMeasurement& one, const std::string& default_engine) {
  if (!one.slower_in()) return true;
  return one.candidate.engine != default_engine && loses_little(one) &&
         *one.speedup() >= 1.0 + kLargeGain;
}

std::string gain_text(const TuneMeasurement& chosen) {
  std::string out = two_places(*chosen.speedup()) + " times as fast on the whole, and ";
  const auto slower = chosen.slower_in();
  if (!slower) return out + "nowhere slower";
  return out + two_places(chosen.in(*slower).speedup()) + " times in " +
         std::string(ipc::name(*slower));
}

}  // namespace

TuneChoice choose(std::span<const TuneMeasurement> measurements) {
  ASSERT(!measurements.empty());
  TuneChoice choice;
  double needed = 1.0 + kTuningNoise;
  const TuneMeasurement* fastest = nullptr;  // of those that are too slow somewhere
  for (std::size_t i = 1; i < measurements.size(); ++i) {
    const TuneMeasurement& one = measurements[i];
    const auto speedup = one.speedup();
    if (one.state != TuneState::kMeasured || !speedup || *speedup < needed) continue;
    if (!may_be_chosen(one, measurements.front().candidate.engine)) {
      if (fastest == nullptr || *fastest->speedup() < *speedup) fastest = &one;
      continue;
    }
    // Those that were tried later have more settings: they, too, must gain more than noise does.
    needed = *speedup * (1.0 + kTuningNoise);
    choice.index = i;
  }
  if (choice.index > 0) {
    choice.why = gain_text(measurements[choice.index]);
  } else if (fastest != nullptr) {
    choice.why = text(fastest->candidate) + " is faster on the whole, but slower in " +
                 std::string(ipc::name(*fastest->slower_in()));
  } else {
    choice.why = "nothing else was faster";
  }
  return choice;
}

}  // namespace aioss::runtime
