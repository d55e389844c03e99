// The search over a bench whose candidates cost what the test says, on a clock that only they move.
#include "runtime/tuning/tuning_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "base/clock.h"

namespace aioss::runtime {
namespace {

using Place = TuneBench::Place;
constexpr std::int64_t kMs = 1'000'000;

class HandClock final : public Clock {
 public:
  std::int64_t wall_ns() const override { return now; }
  std::int64_t monotonic_ns() const override { return now; }
  std::int64_t now = 1;
};

// ns a token in each regime.
using Cost = std::array<std::uint64_t, ipc::kRegimes>;

class ScriptBench final : public TuneBench {
 public:
  explicit ScriptBench(HandClock& clock) : clock_(clock) {}

  Result<std::vector<ipc::Token>> begin(Place place, const TuneCandidate& candidate,
                                        std::int64_t /*until_ns*/) override {
    clock_.now += begin_ns;
    begun.push_back(text(candidate));
    sessions_[place] = candidate;
    const auto failure = begin_failures.find(text(candidate));
    if (failure != begin_failures.end()) return failure->second;
    const auto said = canaries.find(text(candidate));
    return said != canaries.end() ? said->second : std::vector<ipc::Token>{1, 2, 3, 4};
  }
  Result<Figures> run(Place place, ipc::Regime regime, std::uint32_t tokens,
                      std::int64_t /*until_ns*/) override {
    const std::string of = text(sessions_.at(place));
    runs.push_back(of + " " + std::string(ipc::name(regime)));
    const auto failure = run_failures.find(of);
    if (failure != run_failures.end()) return failure->second;
    const auto found = costs.find(of);
    const Cost& cost = found != costs.end() ? found->second : usual;
    const bool many = regime == ipc::Regime::kDecodeMany;
    const std::uint32_t all = tokens * (many ? streams_ : 1);
    std::uint64_t ns = cost[static_cast<std::size_t>(regime)] * all;
    if (++run_count % noise_every == 0) ns *= 3;  // somebody else used the machine
    if (slow_runs[runs.back()]-- > 0) ns += ns / 10;
    clock_.now += static_cast<std::int64_t>(ns);
    return Figures{all, ns};
  }
  void end(Place place) override { sessions_.erase(place); }
  std::uint32_t streams() const override { return streams_; }

  std::map<std::string, Cost> costs;
  std::map<std::string, Error> begin_failures, run_failures;
  std::map<std::string, std::vector<ipc::Token>> canaries;
  std::map<std::string, int> slow_runs;  // that are left, by a tenth
  std::vector<std::string> begun, runs;
  Cost usual{10 * kMs, 4 * kMs, 2 * kMs};
  std::int64_t begin_ns = 100 * kMs;
  std::size_t noise_every = 1'000'000, run_count = 0;
  std::uint32_t streams_ = 4;
  std::map<Place, TuneCandidate> sessions_;

 private:
  HandClock& clock_;
};

class TuningSearchTest : public ::testing::Test {
 protected:
  TuningSearchTest() {
    space_.engines = {"llama", "ik"};
    space_.threads = {1};
    space_.micro_batches = {256};
    space_.flash_attention = true;
  }
  TuningResult found(std::int64_t budget_ns = 60 * kNsPerSecond) {
    auto result = search(space_, bench_, clock_, budget_ns);
    EXPECT_TRUE(result.has_value()) << result.error().message;
    return result ? std::move(*result) : TuningResult();
  }
  static const TuneMeasurement& of(const TuningResult& result, const std::string& candidate) {
    static const TuneMeasurement none;
    for (const TuneMeasurement& one : result.measurements) {
      if (text(one.candidate) == candidate) return one;
    }
    ADD_FAILURE() << "nobody measured " << candidate;
    return none;
  }
  bool was_begun(const std::string& candidate) const {
    return std::find(bench_.begun.begin(), bench_.begun.end(), candidate) != bench_.begun.end();
  }

  HandClock clock_;
  ScriptBench bench_{clock_};
  TuningSpace space_;
};

TEST_F(TuningSearchTest, GoesOnFromTheBestSoFar) {
  bench_.costs["ik"] = {6 * kMs, 3 * kMs, 1 * kMs};
  bench_.costs["ik flash=off"] = {5 * kMs, 2 * kMs, 1 * kMs};
  bench_.costs["ik threads=1 flash=off"] = {4 * kMs, 2 * kMs, 1 * kMs};
  const TuningResult result = found();
  EXPECT_EQ(text(result.chosen()), "ik threads=1 flash=off");
  EXPECT_TRUE(was_begun("ik threads=1 micro_batch=256 flash=off"));
  EXPECT_FALSE(was_begun("llama flash=off"));  // outrun: not worth the time
  EXPECT_FALSE(was_begun("llama threads=1"));
  EXPECT_TRUE(result.in_time);
  EXPECT_EQ(result.streams, 4U);
  EXPECT_EQ(text(result.measurements.front().candidate), "llama");
}

// Once it is slower than it is each time that a run coincides with somebody else's work.
TEST_F(TuningSearchTest, ADoubtIsMeasuredMoreOften) {
  space_.flash_attention = false;
  space_.threads = space_.micro_batches = {};
  bench_.costs["ik"] = {10 * kMs, 4 * kMs, 1 * kMs};
  bench_.slow_runs["ik decode_one"] = 3;
  const TuningResult result = found();
  EXPECT_EQ(text(result.chosen()), "ik") << result.choice.why;
  bench_.slow_runs["ik decode_one"] = 1000;
  EXPECT_EQ(text(found().chosen()), "llama");
}

TEST_F(TuningSearchTest, AMicroBatchIsJudgedByPrefillAlone) {
  space_.engines = {"llama"};
  space_.flash_attention = false;
  space_.threads = {};
  bench_.costs["llama micro_batch=256"] = {1 * kMs, 1 * kMs, 3 * kMs};  // noise, and slower
  const TuningResult result = found();
  EXPECT_EQ(text(result.chosen()), "llama");
  const TuneMeasurement& one = of(result, "llama micro_batch=256");
  EXPECT_EQ(one.regimes[0].speedup(), 1.0);
  EXPECT_LT(one.regimes[2].speedup(), 0.7);
  for (const std::string& run : bench_.runs) EXPECT_EQ(run.find("256 decode"), std::string::npos);
}

// What is doubtful of the engine is not measured again with each setting that is added to it.
TEST_F(TuningSearchTest, NorDoesWhatItsEngineLosesCountAgain) {
  space_.flash_attention = false;
  space_.threads = {};
  bench_.costs["ik"] = {10'640'000, 2 * kMs, 1 * kMs};
  bench_.costs["ik micro_batch=256"] = {1 * kMs, 1 * kMs, 800'000};
  const TuningResult result = found();
  EXPECT_EQ(text(result.chosen()), "ik micro_batch=256");
  EXPECT_LT(of(result, "ik micro_batch=256").regimes[0].speedup(), 0.95);
  for (const std::string& run : bench_.runs) EXPECT_EQ(run.find("256 decode"), std::string::npos);
}

// Where it is otherwise without, the engine's own choice was with.
TEST_F(TuningSearchTest, FlashAttentionIsTriedBothWaysOnlyIfNeeded) {
  space_.engines = {"llama"};
  bench_.costs["llama flash=off"] = {20 * kMs, 8 * kMs, 4 * kMs};
  (void)found();
  EXPECT_FALSE(was_begun("llama flash=on"));
  bench_.begin_failures["llama flash=off"] = {Code::kUnsupported, "with it only"};
  (void)found();
  EXPECT_FALSE(was_begun("llama flash=on"));
  bench_.begin_failures.clear();
  bench_.costs.clear();
  bench_.costs["llama flash=on"] = {5 * kMs, 2 * kMs, 1 * kMs};
  EXPECT_EQ(text(found().chosen()), "llama flash=on");
}

TEST_F(TuningSearchTest, WhatCrashesIsUnsafeAndTheOthersAreMeasured) {
  bench_.begin_failures["ik flash=on"] = {Code::kWorkerDied, "signal 6 (Aborted)"};
  bench_.run_failures["ik flash=off"] = {Code::kEngineFailed, "broken"};
  bench_.begin_failures["llama flash=off"] = {Code::kUnsupported, "not here"};
  bench_.costs["ik"] = {9 * kMs, 3 * kMs, 2 * kMs};
  const TuningResult result = found();
  EXPECT_EQ(of(result, "ik flash=on").state, TuneState::kUnsafe);
  EXPECT_EQ(of(result, "ik flash=on").reason, "signal 6 (Aborted)");
  EXPECT_EQ(of(result, "ik flash=off").state, TuneState::kUnsafe);
  EXPECT_EQ(of(result, "llama flash=off").state, TuneState::kRefused);
  EXPECT_EQ(text(result.chosen()), "ik");
}

TEST_F(TuningSearchTest, NonsenseIsUnsafeHoweverFast) {
  bench_.costs["ik"] = {1 * kMs, 1 * kMs, 1 * kMs};
  bench_.canaries["ik"] = {1, 9, 9, 9};
  bench_.canaries["ik flash=off"] = {1, 2, 3};  // not even as many
  const TuningResult result = found();
  EXPECT_EQ(of(result, "ik").state, TuneState::kUnsafe);
  EXPECT_EQ(of(result, "ik").reason,
            "its canary agrees with the default's in 25 % of the tokens only");
  EXPECT_EQ(of(result, "ik flash=off").state, TuneState::kUnsafe);
  EXPECT_EQ(result.choice.index, 0U);
}

TEST_F(TuningSearchTest, WhereBitsCountEachTokenMustBeTheSame) {
  space_.keeps_bits = true;
  space_.engines = {"llama"};
  space_.flash_attention = false;
  space_.micro_batches = {};
  bench_.costs["llama threads=1"] = {5 * kMs, 2 * kMs, 1 * kMs};
  bench_.canaries["llama threads=1"] = {1, 2, 3, 9};
  EXPECT_EQ(found().choice.index, 0U);
  bench_.canaries.clear();
  EXPECT_EQ(text(found().chosen()), "llama threads=1");
}

// Every fifth run takes three times as long: the best of several does not.
TEST_F(TuningSearchTest, ABusyMachineHarmsNobody) {
  bench_.noise_every = 5;
  bench_.costs["ik"] = {8 * kMs, 3 * kMs, 1500'000};
  const TuningResult result = found();
  EXPECT_EQ(result.chosen().engine, "ik");
  EXPECT_EQ(of(result, "ik").regimes[0], (TuneRegime{8 * kMs, 10 * kMs}));
}

TEST_F(TuningSearchTest, DefaultAndCandidateTakeTurns) {
  space_.engines = {"llama", "ik"};
  space_.flash_attention = false;
  space_.threads = space_.micro_batches = {};
  (void)found();
  ASSERT_GE(bench_.runs.size(), 9U);
  EXPECT_EQ(bench_.runs[3], "llama decode_one");
  EXPECT_EQ(bench_.runs[4], "ik decode_one");
  EXPECT_EQ(bench_.runs[5], "llama decode_many");
  EXPECT_EQ(bench_.runs[6], "ik decode_many");
  EXPECT_EQ(bench_.runs[7], "llama prefill");
  EXPECT_EQ(bench_.runs[8], "ik prefill");
}

TEST_F(TuningSearchTest, TheBudgetIsKept) {
  const std::int64_t began = clock_.now;
  const TuningResult result = found(2 * kNsPerSecond);
  EXPECT_FALSE(result.in_time);
  // One pair of runs is begun before it is over, and ends.
  EXPECT_LT(clock_.now - began, 3 * kNsPerSecond);
  EXPECT_EQ(result.measurements.back().state, TuneState::kUnfinished);
  EXPECT_NE(result.measurements.back().reason, "");
}

// Of a model so slow that nothing can be said in time, the default stays.
TEST_F(TuningSearchTest, WhatIsTooSlowKeepsItsDefault) {
  bench_.usual = {2 * kNsPerSecond, 2 * kNsPerSecond, 2 * kNsPerSecond};
  const TuningResult result = found(10 * kNsPerSecond);
  EXPECT_EQ(result.choice.index, 0U);
  EXPECT_FALSE(result.in_time);
}

TEST_F(TuningSearchTest, WithOneStreamNothingDecodesTogether) {
  bench_.streams_ = 1;
  bench_.costs["ik"] = {6 * kMs, 99 * kMs, 1 * kMs};
  const TuningResult result = found();
  EXPECT_EQ(result.chosen().engine, "ik");
  for (const std::string& run : bench_.runs) EXPECT_EQ(run.find("decode_many"), std::string::npos);
}

TEST_F(TuningSearchTest, WhatAnOperatorHasSetStays) {
  space_.fixed.threads = 3;
  space_.threads = {};
  const TuningResult result = found();
  for (const TuneMeasurement& one : result.measurements) {
    EXPECT_EQ(one.candidate.knobs.threads, 3U);
  }
}

TEST_F(TuningSearchTest, ADefaultThatFailsIsAnError) {
  bench_.begin_failures["llama"] = {Code::kModelCorrupt, "not a GGUF file"};
  const auto result = search(space_, bench_, clock_, kNsPerSecond);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, Code::kModelCorrupt);
}

TEST_F(TuningSearchTest, AStopEndsIt) {
  bench_.begin_failures["ik"] = {Code::kShuttingDown, "the gateway is stopping"};
  const TuningResult result = found();
  EXPECT_FALSE(result.in_time);
  EXPECT_EQ(std::count(bench_.begun.begin(), bench_.begun.end(), "ik flash=off"), 0);
}

TEST_F(TuningSearchTest, NoCandidateIsLeftBehind) {
  (void)found();
  EXPECT_TRUE(bench_.sessions_.empty());
}

}  // namespace
}  // namespace aioss::runtime
