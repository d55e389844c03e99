#include "worker/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "worker/random_row_fixture.h"

namespace aioss::worker {
namespace {

ipc::Sampling greedy() {
  ipc::Sampling s;
  s.temperature = 0;
  return s;
}

Token sample_one(const Sampler& sampler, std::span<const float> row) {
  SamplerScratch scratch;
  const auto sampled = sampler.sample(row, {}, scratch);
  EXPECT_TRUE(sampled) << (sampled ? "" : sampled.error().message);
  return sampled ? sampled->token : -1;
}

// Draws at `count` positions from the same row: what the sampler's distribution is.
std::map<Token, int> histogram(const ipc::Sampling& parameters, std::span<const float> row,
                               int count) {
  std::map<Token, int> counts;
  SamplerScratch scratch;
  std::vector<Token> prompt;
  for (int i = 0; i < count; ++i) {
    ipc::Sampling p = parameters;
    p.seed = static_cast<std::uint64_t>(i);
    const Sampler sampler(p, 0, {});
    const auto sampled = sampler.sample(row, {}, scratch);
    EXPECT_TRUE(sampled);
    ++counts[sampled->token];
  }
  return counts;
}

// The distribution by the book: sort everything, cut, normalise.
std::map<Token, double> reference(const ipc::Sampling& p, std::span<const float> row) {
  std::vector<std::pair<double, Token>> sorted;
  for (std::size_t i = 0; i < row.size(); ++i) {
    sorted.push_back({row[i], static_cast<Token>(i)});
  }
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  if (p.top_k > 0 && p.top_k < sorted.size()) sorted.resize(p.top_k);
  const double best = sorted[0].first;
  const double temperature = static_cast<double>(p.temperature);
  double total = 0;
  for (auto& [logit, token] : sorted) total += std::exp((logit - best) / temperature);
  std::map<Token, double> kept;
  double sum = 0;
  for (const auto& [logit, token] : sorted) {
    const double weight = std::exp((logit - best) / temperature);
    if (!kept.empty() && p.top_p < 1 && sum >= static_cast<double>(p.top_p) * total) break;
    if (!kept.empty() && weight < static_cast<double>(p.min_p)) break;
    kept[token] = weight;
    sum += weight;
  }
  for (auto& [token, weight] : kept) weight /= sum;
  return kept;
}

void expect_distribution(const ipc::Sampling& p, std::span<const float> row, const char* what) {
  constexpr int kDraws = 20000;
  const std::map<Token, double> expected = reference(p, row);
  const std::map<Token, int> counts = histogram(p, row, kDraws);
  double chi_square = 0;
  int bins = 0;
  double rest_expected = 0;
  double rest_seen = 0;
  for (const auto& [token, count] : counts) {
    EXPECT_TRUE(expected.contains(token)) << what << ": token " << token << " was cut";
  }
  for (const auto& [token, probability] : expected) {
    const double want = probability * kDraws;
    const double got = counts.contains(token) ? counts.at(token) : 0;
    if (want < 5) {  // too few for a chi-square: pooled
      rest_expected += want;
      rest_seen += got;
      continue;
    }
    chi_square += (got - want) * (got - want) / want;
    ++bins;
  }
  if (rest_expected >= 5) {
    chi_square += (rest_seen - rest_expected) * (rest_seen - rest_expected) / rest_expected;
    ++bins;
  }
  const double freedom = std::max(1, bins - 1);
  // Mean plus four standard deviations; the seeds are fixed, so this is no lottery.
  EXPECT_LT(chi_square, freedom + 4 * std::sqrt(2 * freedom) + 4)
      << what << ", " << bins << " bins";
}

TEST(Sampler, GreedyTakesTheLowestOfEqualIds) {
  std::vector<float> row(300, 0.0F);
  row[250] = row[251] = row[299] = 2.0F;
  EXPECT_EQ(sample_one(Sampler(greedy(), 0, {}), row), 250);
}

TEST(Sampler, TheDistributionIsThatOfTheDefinition) {
  const std::vector<float> row = random_row(200, 5);
  ipc::Sampling p;
  expect_distribution(p, row, "plain");
  p.temperature = 0.5F;
  expect_distribution(p, row, "temperature");
  p.temperature = 1.7F;
  p.top_k = 12;
  expect_distribution(p, row, "top-k");
  p = {};
  p.top_p = 0.8F;
  expect_distribution(p, row, "top-p");
  p = {};
  p.min_p = 0.1F;
  expect_distribution(p, row, "min-p");
  p = {.temperature = 1.3F, .top_k = 50, .top_p = 0.9F, .min_p = 0.02F};
  expect_distribution(p, row, "all cuts");
}

TEST(Sampler, AFlatDistributionNeedsManyCandidates) {
  // 0.95 of it are thousands of tokens: the search has to grow.
  const std::vector<float> row = random_row(9000, 6, 0.01F);
  ipc::Sampling p;
  p.top_p = 0.95F;
  const std::map<Token, double> expected = reference(p, row);
  EXPECT_GT(expected.size(), 8000U);
  for (const auto& [token, count] : histogram(p, row, 1000)) {
    EXPECT_TRUE(expected.contains(token));
  }
  p = {};
  p.min_p = 0.975F;
  const std::map<Token, double> by_min_p = reference(p, row);
  EXPECT_GT(by_min_p.size(), 300U);
  for (const auto& [token, count] : histogram(p, row, 1000)) {
    EXPECT_TRUE(by_min_p.contains(token));
  }
}

TEST(Sampler, ExtremeParametersAreDefined) {
  const std::vector<float> row = random_row(1000, 7);
  const auto best = static_cast<Token>(std::max_element(row.begin(), row.end()) - row.begin());
  for (const auto& p :
       {ipc::Sampling{.top_k = 1}, ipc::Sampling{.top_p = 0.0F}, ipc::Sampling{.min_p = 1.0F},
        ipc::Sampling{.temperature = std::numeric_limits<float>::denorm_min()},
        ipc::Sampling{.temperature = 1e-30F, .top_k = 5, .top_p = 0.5F}}) {
    EXPECT_EQ(sample_one(Sampler(p, 0, {}), row), best);
  }
  const ipc::Sampling wide{.temperature = 100.0F, .top_k = 4'000'000'000U};
  const Token hot = sample_one(Sampler(wide, 0, {}), row);
  EXPECT_GE(hot, 0);
}

TEST(Sampler, DependsOnSeedChoiceAndPositionAndOnNothingElse) {
  const std::vector<float> row = random_row(5000, 8, 0.5F);
  const std::vector<Token> prompt = {1, 2, 3};
  ipc::Sampling p;
  p.seed = 42;
  const Token first = sample_one(Sampler(p, 0, prompt), row);
  EXPECT_EQ(sample_one(Sampler(p, 0, prompt), row), first);
  EXPECT_NE(sample_one(Sampler(p, 1, prompt), row), first);
  EXPECT_NE(sample_one(Sampler(p, 0, std::vector<Token>{1, 2, 3, 4}), row), first);
  ipc::Sampling other = p;
  other.seed = 43;
  EXPECT_NE(sample_one(Sampler(other, 0, prompt), row), first);

  // Going on from recorded tokens is the same as never having stopped.
  Sampler continued(p, 0, prompt);
  for (const Token token : {7, 8, 9}) continued.accept(token);
  EXPECT_EQ(sample_one(continued, row),
            sample_one(Sampler(p, 0, std::vector<Token>{1, 2, 3, 7, 8, 9}), row));

  // Scratch that served another row and other parameters changes nothing.
  SamplerScratch scratch;
  const std::vector<float> noise = random_row(9000, 9);
  (void)Sampler({.top_p = 0.5F}, 0, {}).sample(noise, {true, 5}, scratch);
  EXPECT_EQ(Sampler(p, 0, prompt).sample(row, {}, scratch)->token, first);
}

TEST(Sampler, BiasIsAddedAndMinusHundredForbids) {
  std::vector<float> row(100, 0.0F);
  row[10] = 5.0F;
  row[20] = 4.0F;
  ipc::Sampling p = greedy();
  p.logit_bias = {{20, 1.5F}};
  EXPECT_EQ(sample_one(Sampler(p, 0, {}), row), 20);
  p.logit_bias = {{10, -100.0F}};
  row[10] = 1e30F;
  EXPECT_EQ(sample_one(Sampler(p, 0, {}), row), 20);
  p = {};
  p.logit_bias = {{10, -100.0F}};
  for (int i = 0; i < 100; ++i) {
    p.seed = static_cast<std::uint64_t>(i);
    EXPECT_NE(sample_one(Sampler(p, 0, {}), row), 10);
  }
}

TEST(Sampler, ABiasThatForbidsEverythingIsTheRequestsFault) {
  const std::vector<float> row(3, 1.0F);
  ipc::Sampling p = greedy();
  p.logit_bias = {{0, -100.0F}, {1, -100.0F}, {2, -100.0F}};
  SamplerScratch scratch;
  const auto sampled = Sampler(p, 0, {}).sample(row, {}, scratch);
  ASSERT_FALSE(sampled);
  EXPECT_EQ(sampled.error().code, Code::kInvalidArgument);
  EXPECT_EQ(sampled.error().field, "logit_bias");
}

TEST(Sampler, RepetitionPenaltyCoversTheWindowOfPromptAndAnswer) {
  std::vector<float> row(50, 0.0F);
  row[1] = 4.0F;
  row[2] = 3.0F;
  row[3] = -1.0F;
  ipc::Sampling p = greedy();
  p.repetition_penalty = 2.0F;
  EXPECT_EQ(sample_one(Sampler(p, 0, std::vector<Token>{9, 9}), row), 1);
  EXPECT_EQ(sample_one(Sampler(p, 0, std::vector<Token>{1}), row), 2) << "4 / 2 < 3";
  EXPECT_EQ(sample_one(Sampler(p, 0, std::vector<Token>{1, 1, 1, 2}), row), 1)
      << "once each, however often: 2 against 1.5";
  p.penalty_window = 2;
  EXPECT_EQ(sample_one(Sampler(p, 0, std::vector<Token>{1, 9, 9}), row), 1) << "out of the window";
  Sampler sampler(p, 0, std::vector<Token>{9});
  sampler.accept(1);
  EXPECT_EQ(sample_one(sampler, row), 2) << "generated tokens count";
  p.penalty_window = 0;
  EXPECT_EQ(sample_one(Sampler(p, 0, std::vector<Token>{1}), row), 1) << "an empty window is off";

  // Negative logits get more negative.
  std::vector<float> negative(10, -10.0F);
  negative[4] = -1.0F;
  negative[5] = -1.5F;
  p.penalty_window = 64;
  EXPECT_EQ(sample_one(Sampler(p, 0, std::vector<Token>{4}), negative), 5);
}

TEST(Sampler, FrequencyAndPresenceCountGeneratedTokensOnly) {
  std::vector<float> row(50, 0.0F);
  row[1] = 3.0F;
  row[2] = 2.0F;
  ipc::Sampling p = greedy();
  p.frequency_penalty = 0.6F;
  Sampler frequency(p, 0, std::vector<Token>{1, 1, 1, 1});
  EXPECT_EQ(sample_one(frequency, row), 1) << "the prompt does not count";
  frequency.accept(1);
  EXPECT_EQ(sample_one(frequency, row), 1) << "3 - 0.6";
  frequency.accept(1);
  EXPECT_EQ(sample_one(frequency, row), 2) << "3 - 1.2";

  p = greedy();
  p.presence_penalty = 0.9F;
  Sampler presence(p, 0, {});
  presence.accept(1);
  presence.accept(1);
  presence.accept(1);
  EXPECT_EQ(sample_one(presence, row), 1) << "once only: 3 - 0.9";
  p.presence_penalty = -2.0F;
  Sampler negative(p, 0, {});
  negative.accept(2);
  EXPECT_EQ(sample_one(negative, row), 2) << "a negative penalty rewards";
}

TEST(Sampler, LogitsThatAreNotNumbersAreTheEnginesFault) {
  for (const float bad : {std::nanf(""), INFINITY}) {
    std::vector<float> row = random_row(500, 10);
    row[123] = bad;
    for (const ipc::Sampling& p : {greedy(), ipc::Sampling{}, ipc::Sampling{.top_k = 3}}) {
      SamplerScratch scratch;
      const auto sampled = Sampler(p, 0, {}).sample(row, {true, 3}, scratch);
      ASSERT_FALSE(sampled);
      EXPECT_EQ(sampled.error().code, Code::kEngineFailed);
    }
  }
  const std::vector<float> nothing(500, kMinusInfinity);
  SamplerScratch scratch;
  EXPECT_FALSE(Sampler(greedy(), 0, {}).sample(nothing, {}, scratch));
}

TEST(Sampler, ForbiddenTokensAreNeverDrawn) {
  std::vector<float> row(600, kMinusInfinity);
  row[7] = row[64] = row[599] = 0.0F;
  for (const ipc::Sampling& p :
       {ipc::Sampling{}, ipc::Sampling{.top_k = 100}, ipc::Sampling{.top_p = 0.99F},
        ipc::Sampling{.min_p = 0.001F}, ipc::Sampling{.temperature = 50.0F}}) {
    const std::map<Token, int> counts = histogram(p, row, 300);
    ASSERT_EQ(counts.size(), 3U);
    EXPECT_TRUE(counts.contains(7) && counts.contains(64) && counts.contains(599));
  }
}

TEST(Sampler, LogprobsAreThoseOfTheUntouchedModel) {
  const std::vector<float> row = random_row(777, 11);
  double sum = 0;
  for (const float x : row) sum += std::exp(static_cast<double>(x));
  ipc::Sampling p;
  p.temperature = 0.3F;
  p.logit_bias = {{5, 50.0F}};
  p.seed = 3;
  SamplerScratch scratch;
  const auto sampled = Sampler(p, 0, {}).sample(row, {true, 20}, scratch);
  ASSERT_TRUE(sampled);
  EXPECT_EQ(sampled->token, 5) << "the bias decides the choice …";
  EXPECT_NEAR(sampled->logprob, static_cast<double>(row[5]) - std::log(sum), 1e-5)
      << "… and not the probability";
  ASSERT_EQ(sampled->top.size(), 20U);
  std::vector<float> sorted = row;
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  for (std::size_t i = 0; i < 20; ++i) {
    EXPECT_NEAR(sampled->top[i].logprob, static_cast<double>(sorted[i]) - std::log(sum), 1e-5);
  }
  EXPECT_EQ(row[static_cast<std::size_t>(sampled->top[0].token)], sorted[0]);
}

TEST(Sampler, ImpossibleTokensHaveAFiniteLogprob) {
  std::vector<float> row(4, kMinusInfinity);
  row[0] = 0.0F;
  SamplerScratch scratch;
  const auto sampled = Sampler(greedy(), 0, {}).sample(row, {true, 4}, scratch);
  ASSERT_TRUE(sampled);
  EXPECT_EQ(sampled->logprob, 0.0F);
  EXPECT_EQ(sampled->top.size(), 1U) << "forbidden tokens are no alternatives";
}

// Bits, not tendencies: a change of the arithmetic, of the generator or of the order of sums shows
// here.
TEST(Sampler, ChoicesAreFixedForEver) {
  std::vector<float> row(49152);
  for (std::size_t i = 0; i < row.size(); ++i) {
    row[i] = static_cast<float>((i * 2654435761U) % 100003) / 9000.0F;
  }
  std::vector<Token> drawn;
  for (const ipc::Sampling& p :
       {ipc::Sampling{}, ipc::Sampling{.top_k = 40}, ipc::Sampling{.top_p = 0.9F},
        ipc::Sampling{.min_p = 0.5F}, ipc::Sampling{.temperature = 0.2F}}) {
    ipc::Sampling seeded = p;
    seeded.seed = 20261122;
    for (std::uint32_t choice = 0; choice < 2; ++choice) {
      drawn.push_back(sample_one(Sampler(seeded, choice, std::vector<Token>{1, 2, 3}), row));
    }
  }
  const std::vector<Token> expected = {30356, 7379,  34101, 7520,  30356,
                                       7381,  30349, 7381,  30438, 7397};
  EXPECT_EQ(drawn, expected);
}

}  // namespace
}  // namespace aioss::worker
