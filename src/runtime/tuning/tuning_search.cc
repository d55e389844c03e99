#include "runtime/tuning/tuning_search.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <utility>

#include "base/assert.h"

namespace aioss::runtime {
namespace {

using Place = TuneBench::Place;

// A run of decode takes about so much of the budget, one of prefill four times that: 60 ms, and a
// quarter of a second, of ten seconds.
constexpr std::int64_t kRunsOfBudget = 160;
constexpr std::array<std::int64_t, ipc::kRegimes> kUnits{1, 2, 4};
constexpr std::array<std::uint32_t, ipc::kRegimes> kTokensLeast{2, 2, 32};
constexpr std::array<std::uint32_t, ipc::kRegimes> kTokensMost{64, 64, ipc::kTuneTokensMax};
constexpr int kRounds = 3;
// A candidate that is faster on the whole, but for one regime in which it is slower by less than
// so much, is measured there so often more: that may be the machine.
constexpr double kDoubt = 0.15;
constexpr int kRoundsInDoubt = 8;
// One that is slower than that after a round gets no second one.
constexpr double kHopeless = 0.8;
// Beyond any noise.
constexpr double kClearly = 0.1;
// An engine that is so much slower than the best so far is not worth more of the time.
constexpr double kOutrun = 0.75;
// So many of the canary's tokens must be the default's: engines differ in near ties, and one that
// computes nonsense agrees nowhere.
constexpr double kAgreementLeast = 0.5;

double agreement(const std::vector<ipc::Token>& a, const std::vector<ipc::Token>& b) {
  if (a.size() != b.size() || a.empty()) return 0;
  std::size_t same = 0;
  for (std::size_t i = 0; i < a.size(); ++i) same += a[i] == b[i] ? 1U : 0U;
  return static_cast<double>(same) / static_cast<double>(a.size());
}

class Search final {
 public:
  Search(const TuningSpace& space, TuneBench& bench, const Clock& clock, std::int64_t budget_ns,
         const TuningProgress& progress)
      : space_(space),
        bench_(bench),
        clock_(clock),
        budget_ns_(budget_ns),
        until_ns_(clock.monotonic_ns() + budget_ns),
        progress_(progress) {}

  Result<TuningResult> run();

 private:
  bool is_over() const { return stopped_ || clock_.monotonic_ns() >= until_ns_; }
  Status begin_default();
  Result<std::uint64_t> time(Place place, ipc::Regime regime, std::uint32_t tokens);
  void try_engines();
  void try_flash_attention();
  const TuneMeasurement* find(const TuneCandidate& candidate) const;  // null: not tried
  std::optional<double> speedup_of(const TuneCandidate& candidate) const;
  bool was_refused(const TuneCandidate& candidate) const;
  bool differs_from_engines_choice(const TuneCandidate& candidate) const;
  void try_threads();
  void try_micro_batches();
  // `decodes_as`: a measurement whose decode is this one's, too.
  void measure(const TuneCandidate& candidate, const TuneMeasurement* decodes_as = nullptr);
  Status pass_canary(const TuneCandidate& candidate);
  Status measure_rounds(TuneMeasurement& out, RegimeSet regimes);
  Status settle_doubts(TuneMeasurement& out, RegimeSet regimes);
  Status measure_pair(ipc::Regime regime, TuneRegime& out);
  bool takes_part(ipc::Regime regime) const;
  TuneCandidate best() const { return result_.measurements[choose_now()].candidate; }
  std::size_t choose_now() const { return choose(result_.measurements).index; }
  void note(TuneMeasurement measurement);

  const TuningSpace& space_;
  TuneBench& bench_;
  const Clock& clock_;
  const std::int64_t budget_ns_, until_ns_;
  const TuningProgress& progress_;
  std::vector<ipc::Token> canary_;                     // of the default
  std::array<std::uint32_t, ipc::kRegimes> tokens_{};  // of a run
  TuningResult result_;
  bool stopped_ = false;
};

// ---- the default --------------------------------------------------------------------------------

bool Search::takes_part(ipc::Regime regime) const {
  return regime != ipc::Regime::kDecodeMany || result_.streams > 1;
}

Result<std::uint64_t> Search::time(Place place, ipc::Regime regime, std::uint32_t tokens) {
  AIOSS_TRY(const TuneBench::Figures figures, bench_.run(place, regime, tokens, until_ns_));
  if (figures.tokens == 0) return Error{Code::kEngineFailed, "a run computed nothing"};
  return std::max<std::uint64_t>(figures.ns / figures.tokens, 1);
}

// Short runs, which also warm it up, say how long the others may be.
Status Search::begin_default() {
  const TuneCandidate candidate{space_.engines.front(), space_.fixed};
  AIOSS_TRY(canary_, bench_.begin(Place::kDefault, candidate, until_ns_));
  result_.streams = bench_.streams();
  TuneMeasurement measurement{candidate, TuneState::kMeasured, "", {}};
  for (std::size_t i = 0; i < ipc::kRegimes; ++i) {
    const auto regime = static_cast<ipc::Regime>(i);
    if (!takes_part(regime)) continue;
    AIOSS_TRY(const std::uint64_t ns, time(Place::kDefault, regime, kTokensLeast[i]));
    // Of a step of all streams, if they decode together.
    const std::uint64_t each = regime == ipc::Regime::kDecodeMany ? ns * result_.streams : ns;
    const std::int64_t wanted_ns = budget_ns_ / kRunsOfBudget * kUnits[i];
    tokens_[i] = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(
        static_cast<std::uint64_t>(wanted_ns) / each, kTokensLeast[i], kTokensMost[i]));
    measurement.regimes[i] = {ns, ns};
  }
  result_.measurements.push_back(std::move(measurement));
  return ok();
}

// ---- one candidate ------------------------------------------------------------------------------

Status Search::pass_canary(const TuneCandidate& candidate) {
  AIOSS_TRY(const std::vector<ipc::Token> said,
            bench_.begin(Place::kCandidate, candidate, until_ns_));
  const double agrees = agreement(said, canary_);
  if (agrees >= (space_.keeps_bits ? 1.0 : kAgreementLeast)) return ok();
  return Error{Code::kEngineFailed, "its canary agrees with the default's in " +
                                        std::to_string(static_cast<int>(agrees * 100)) +
                                        " % of the tokens only"};
}

Status Search::measure_pair(ipc::Regime regime, TuneRegime& out) {
  const std::uint32_t tokens = tokens_[static_cast<std::size_t>(regime)];
  AIOSS_TRY(const std::uint64_t before, time(Place::kDefault, regime, tokens));
  AIOSS_TRY(const std::uint64_t own, time(Place::kCandidate, regime, tokens));
  const auto best = [](std::uint64_t kept, std::uint64_t now) {
    return kept == 0 ? now : std::min(kept, now);
  };
  out.default_ns_per_token = best(out.default_ns_per_token, before);
  out.ns_per_token = best(out.ns_per_token, own);
  TuneRegime& of_default = result_.measurements.front().regimes[static_cast<std::size_t>(regime)];
  const std::uint64_t least = best(of_default.ns_per_token, before);
  of_default = {least, least};
  return ok();
}

Status Search::measure_rounds(TuneMeasurement& out, RegimeSet regimes) {
  for (int round = 0; round < kRounds; ++round) {
    for (std::size_t i = 0; i < ipc::kRegimes; ++i) {
      const auto regime = static_cast<ipc::Regime>(i);
      if (!regimes[i] || !takes_part(regime)) continue;
      // A whole round is what it takes; more is better.
      if (is_over() && round > 0) return ok();
      if (is_over()) return Error{Code::kTimeout, "there was no time for it"};
      AIOSS_CHECK(measure_pair(regime, out.regimes[i]));
    }
    const auto speedup = out.speedup();
    if (speedup && *speedup < kHopeless) return ok();
  }
  return settle_doubts(out, regimes);
}

Status Search::settle_doubts(TuneMeasurement& out, RegimeSet regimes) {
  for (int round = 0; round < kRoundsInDoubt && !is_over(); ++round) {
    const auto slower = out.slower_in(regimes);
    if (!slower || out.speedup().value_or(0) < 1.0 + kTuningNoise) return ok();
    TuneRegime& regime = out.regimes[static_cast<std::size_t>(*slower)];
    if (regime.speedup() < 1.0 - kDoubt) return ok();
    AIOSS_CHECK(measure_pair(*slower, regime));
  }
  return ok();
}

void Search::measure(const TuneCandidate& candidate, const TuneMeasurement* decodes_as) {
  if (find(candidate) != nullptr) return;
  TuneMeasurement measurement{candidate, TuneState::kUnfinished, "there was no time for it", {}};
  if (is_over()) {
    result_.in_time = false;
    return note(std::move(measurement));
  }
  RegimeSet own = kAllRegimes;
  if (decodes_as != nullptr) {
    constexpr auto kPrefill = static_cast<std::size_t>(ipc::Regime::kPrefill);
    measurement.regimes = decodes_as->regimes;
    measurement.regimes[kPrefill] = {};
    own = RegimeSet().set(kPrefill);
  }
  Status done = pass_canary(candidate);
  if (done) done = measure_rounds(measurement, own);
  bench_.end(Place::kCandidate);
  if (done) {
    measurement.state = TuneState::kMeasured;
    measurement.reason.clear();
    return note(std::move(measurement));
  }
  if (decodes_as != nullptr) measurement.regimes = {};
  const Code code = done.error().code;
  measurement.reason = done.error().message;
  if (code == Code::kUnsupported) {
    measurement.state = TuneState::kRefused;
  } else if (code == Code::kTimeout || code == Code::kShuttingDown) {
    result_.in_time = false;
    stopped_ = true;
  } else {
    measurement.state = TuneState::kUnsafe;
  }
  note(std::move(measurement));
}

void Search::note(TuneMeasurement measurement) {
  result_.measurements.push_back(std::move(measurement));
  if (progress_) progress_(result_.measurements.back());
}

// ---- which candidates ---------------------------------------------------------------------------

void Search::try_engines() {
  for (std::size_t i = 1; i < space_.engines.size(); ++i) {
    measure({space_.engines[i], space_.fixed});
  }
}

void Search::try_flash_attention() {
  if (!space_.flash_attention) return;
  // Of each engine: the best one may be the best because of it.
  for (const std::string& engine : space_.engines) {
    TuneCandidate candidate{engine, space_.fixed};
    const auto plain = speedup_of(candidate);
    if (plain && *plain < kOutrun * speedup_of(best()).value_or(1)) continue;
    candidate.knobs.flash_attention = ipc::FlashAttention::kOff;
    measure(candidate);
    // Where it cannot be without, or is otherwise without, the engine's own choice is with.
    if (was_refused(candidate) || differs_from_engines_choice(candidate)) continue;
    candidate.knobs.flash_attention = ipc::FlashAttention::kOn;
    measure(candidate);
  }
}

const TuneMeasurement* Search::find(const TuneCandidate& candidate) const {
  const auto& known = result_.measurements;
  const auto found = std::find_if(known.begin(), known.end(), [&](const TuneMeasurement& one) {
    return one.candidate == candidate;
  });
  return found == known.end() ? nullptr : &*found;
}

std::optional<double> Search::speedup_of(const TuneCandidate& candidate) const {
  const TuneMeasurement* const one = find(candidate);
  if (one == nullptr || one->state != TuneState::kMeasured) return std::nullopt;
  return one->speedup();
}

bool Search::was_refused(const TuneCandidate& candidate) const {
  const TuneMeasurement* const one = find(candidate);
  return one != nullptr && one->state == TuneState::kRefused;
}

bool Search::differs_from_engines_choice(const TuneCandidate& candidate) const {
  const auto own = speedup_of(candidate);
  const auto engines = speedup_of({candidate.engine, space_.fixed});
  return own && engines && std::abs(*own / *engines - 1) > kClearly;
}

void Search::try_threads() {
  const TuneCandidate from = best();
  for (const std::uint32_t threads : space_.threads) {
    TuneCandidate candidate = from;
    candidate.knobs.threads = threads;
    measure(candidate);
  }
}

// A decode step is far smaller than any micro-batch: what would differ there is noise, and would
// decide.
void Search::try_micro_batches() {
  const TuneMeasurement from = result_.measurements[choose_now()];
  for (const std::uint32_t tokens : space_.micro_batches) {
    TuneCandidate candidate = from.candidate;
    candidate.knobs.micro_batch_tokens_max = tokens;
    measure(candidate, &from);
  }
}

Result<TuningResult> Search::run() {
  ASSERT(!space_.engines.empty());
  AIOSS_CHECK(begin_default());
  if (progress_) progress_(result_.measurements.front());
  try_engines();
  try_flash_attention();
  try_threads();
  try_micro_batches();
  bench_.end(Place::kDefault);
  result_.choice = choose(result_.measurements);
  return std::move(result_);
}

}  // namespace

Result<TuningResult> search(const TuningSpace& space, TuneBench& bench, const Clock& clock,
                            std::int64_t budget_ns, const TuningProgress& progress) {
  return Search(space, bench, clock, budget_ns, progress).run();
}

}  // namespace aioss::runtime
