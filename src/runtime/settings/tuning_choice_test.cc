#include "runtime/settings/tuning_choice.h"

#include <gtest/gtest.h>

#include <vector>

namespace aioss::runtime {
namespace {

// Measured against 1,000 ns a token in each regime; 0: that one was not measured.
TuneMeasurement took(const std::string& engine, std::uint64_t one, std::uint64_t many,
                     std::uint64_t prefill) {
  TuneMeasurement out;
  out.candidate.engine = engine;
  out.state = TuneState::kMeasured;
  const std::uint64_t ns[] = {one, many, prefill};
  for (std::size_t i = 0; i < ipc::kRegimes; ++i) {
    if (ns[i] > 0) out.regimes[i] = {ns[i], 1000};
  }
  return out;
}

std::vector<TuneMeasurement> with_default(std::vector<TuneMeasurement> others) {
  others.insert(others.begin(), took("default", 1000, 1000, 1000));
  return others;
}

TEST(TuningChoice, TheFastestOnTheWholeWins) {
  const auto all =
      with_default({took("a", 800, 800, 800), took("b", 900, 500, 500), took("c", 700, 950, 950)});
  const TuneChoice choice = choose(all);
  EXPECT_EQ(choice.index, 2U);
  EXPECT_EQ(choice.why, "1.64 times as fast on the whole, and nowhere slower");
}

TEST(TuningChoice, NothingThatIsClearlySlowerAnywhere) {
  const auto all = with_default({took("a", 100, 100, 1100), took("b", 900, 900, 900)});
  EXPECT_EQ(choose(all).index, 2U);
  const auto only = with_default({took("a", 100, 100, 1100)});
  EXPECT_EQ(choose(only).index, 0U);
  EXPECT_EQ(choose(only).why, "a is faster on the whole, but slower in prefill");
}

TEST(TuningChoice, AnotherEngineMayLoseALittleForMuch) {
  const auto much = with_default({took("a", 1064, 719, 476)});
  EXPECT_EQ(choose(much).index, 1U);
  EXPECT_EQ(choose(much).why, "1.40 times as fast on the whole, and 0.94 times in decode_one");
  EXPECT_EQ(choose(with_default({took("a", 1084, 500, 500)})).index, 1U);
  EXPECT_EQ(choose(with_default({took("a", 1090, 500, 500)})).index, 0U) << "too much is lost";
  EXPECT_EQ(choose(with_default({took("a", 1064, 690, 690)})).index, 1U);  // 1.254
  EXPECT_EQ(choose(with_default({took("a", 1064, 710, 690)})).index, 0U) << "too little is gained";
  EXPECT_EQ(choose(with_default({took("a", 1064, 710, 690)})).why,
            "a is faster on the whole, but slower in decode_one");
  EXPECT_EQ(choose(with_default({took("a", 1064, 1064, 300)})).index, 0U) << "in one regime";
}

// Its process is the default's, too: what it loses it loses.
TEST(TuningChoice, SettingsOfTheSameEngineMayLoseNothing) {
  EXPECT_EQ(choose(with_default({took("default", 1064, 500, 500)})).index, 0U);
}

TEST(TuningChoice, WhatIsAddedToAnEngineThatLosesALittleMustGain) {
  const auto engine = took("a", 1064, 719, 476);  // 1.40
  EXPECT_EQ(choose(with_default({engine, took("a", 1029, 900, 780)})).index, 1U);
  EXPECT_EQ(choose(with_default({engine, took("a", 1064, 650, 430)})).index, 2U);
}

TEST(TuningChoice, NoiseIsNeitherALossNorAGain) {
  EXPECT_EQ(choose(with_default({took("a", 1020, 500, 500)})).index, 1U);
  EXPECT_EQ(choose(with_default({took("a", 990, 990, 980)})).index, 0U);
  EXPECT_EQ(choose(with_default({took("a", 1000, 1000, 1000)})).why, "nothing else was faster");
}

TEST(TuningChoice, OnlyWhatIsMeasuredAndSafe) {
  for (const TuneState state : {TuneState::kUnsafe, TuneState::kRefused, TuneState::kUnfinished}) {
    auto all = with_default({took("a", 100, 100, 100)});
    all[1].state = state;
    EXPECT_EQ(choose(all).index, 0U) << name(state);
  }
  EXPECT_EQ(choose(with_default({took("a", 0, 0, 0)})).index, 0U);
}

// With one stream nothing is decoded together.
TEST(TuningChoice, RegimesThatWereNotMeasuredDoNotCount) {
  const auto all = with_default({took("a", 500, 0, 500), took("b", 600, 0, 600)});
  EXPECT_EQ(choose(all).index, 1U);
  EXPECT_DOUBLE_EQ(*all[1].speedup(), 2.0);
  EXPECT_FALSE(took("a", 0, 0, 0).speedup().has_value());
}

TEST(TuningChoice, TheDefaultAloneIsTheChoice) {
  const auto alone = with_default({});
  EXPECT_EQ(choose(alone).index, 0U);
}

TEST(TuningChoice, CandidatesAreShownWithWhatIsSet) {
  EXPECT_EQ(text(TuneCandidate{"ik", {}}), "ik");
  EXPECT_EQ(text(TuneCandidate{"llama", {2, 4, 128, ipc::FlashAttention::kOff}}),
            "llama threads=2 threads_batch=4 micro_batch=128 flash=off");
}

}  // namespace
}  // namespace aioss::runtime
