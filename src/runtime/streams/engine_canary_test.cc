#include "runtime/streams/engine_canary.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

namespace aioss::runtime {
namespace {

ipc::TokenLogprob token(ipc::Token id, float logprob,
                        std::vector<std::pair<ipc::Token, float>> others = {}) {
  ipc::TokenLogprob out;
  out.token = id;
  out.logprob = logprob;
  out.top.push_back({"", logprob, id});
  for (const auto& [other, its] : others) out.top.push_back({"", its, other});
  return out;
}

using Answers = std::vector<CanaryTokens>;

TEST(EngineCanary, TheSameIsTheSame) {
  const Answers answers{{token(1, -0.1F), token(2, -0.5F)}, {token(3, -2.0F)}};
  const CanaryComparison found = compare(answers, answers);
  EXPECT_EQ(found.compared, 3U);
  EXPECT_EQ(found.same, 3U);
  EXPECT_EQ(found.missing, 0U);
  EXPECT_EQ(found.difference_max, 0.0F);
  EXPECT_TRUE(judge(found));
  EXPECT_EQ(found.text(),
            "tokens=3 same=3 unlikely=0 logprob_difference_max=0.000 "
            "logprob_difference_mean=0.000");
}

// A near tie that falls the other way: what comes behind it has another text before it.
TEST(EngineCanary, ATieThatFallsTheOtherWayEndsTheComparisonOfItsPrompt) {
  const Answers running{{token(1, -0.1F), token(2, -0.7F), token(3, -0.1F)}};
  const Answers coming{{token(1, -0.2F), token(9, -0.6F, {{2, -0.8F}}), token(8, -9.0F)}};
  const CanaryComparison found = compare(running, coming);
  EXPECT_EQ(found.compared, 2U);
  EXPECT_EQ(found.same, 1U);
  EXPECT_NEAR(found.difference_max, 0.1F, 1e-5F);
  EXPECT_TRUE(judge(found));
}

TEST(EngineCanary, AnotherModelIsSeen) {
  const Answers running{{token(1, -0.1F)}, {token(2, -0.1F)}};
  const Answers unlikely{{token(5, -0.1F, {{6, -3.0F}})}, {token(2, -0.1F)}};
  CanaryComparison found = compare(running, unlikely);
  EXPECT_EQ(found.missing, 1U);
  EXPECT_FALSE(judge(found));
  const Answers other{{token(5, -0.3F, {{1, -0.4F}})}, {token(6, -0.3F, {{2, -0.4F}})}};
  found = compare(running, other);
  EXPECT_EQ(found.same, 0U);
  EXPECT_FALSE(judge(found)) << "not one token is the same";
}

TEST(EngineCanary, NumbersThatAreFarAwayOrNoneAreSeen) {
  const Answers running{{token(1, -0.1F), token(1, -0.1F), token(1, -0.1F), token(1, -0.1F)}};
  Answers coming = running;
  coming[0][2].logprob = coming[0][2].top[0].logprob = -1.9F;
  EXPECT_TRUE(judge(compare(running, coming)));
  coming[0][2].logprob = -2.2F;
  EXPECT_FALSE(judge(compare(running, coming))) << "one is far away";
  coming = running;
  for (auto& one : coming[0]) one.logprob = -0.8F;
  EXPECT_FALSE(judge(compare(running, coming))) << "all are a little too far";
  coming = running;
  coming[0][0].logprob = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(judge(compare(running, coming)));
  EXPECT_FALSE(judge(compare({}, {}))) << "nothing was compared";
}

}  // namespace
}  // namespace aioss::runtime
