// Backpressure in the token loop: who has no credit is parked, spilled, and comes back as it was.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/clock.h"
#include "ipc/limits.h"
#include "worker/scheduler.h"
#include "worker/scheduler_fixture.h"

namespace aioss::worker {
namespace {

constexpr std::uint64_t kTwoTokens = 2 * ipc::kCreditOfToken;

SchedulerOptions with_spill(std::uint32_t streams, std::uint64_t bytes = 64 << 20,
                            ipc::Profile profile = ipc::Profile::kFast) {
  SchedulerOptions o = options(streams, profile);
  o.spill_bytes_max = bytes;
  return o;
}

ipc::Submit with_credit(ipc::Submit submit, std::uint64_t bytes) {
  submit.credit_bytes = bytes;
  return submit;
}

// Until there is nothing to do without a command or more time.
int settle(Rig& rig) {
  int steps = 0;
  for (; rig.scheduler->can_step(); ++steps) {
    EXPECT_TRUE(rig.scheduler->step());
    if (steps == 100'000) {
      ADD_FAILURE() << "there is always something to do";
      break;
    }
  }
  return steps;
}

bool computed_any(const std::vector<SeenCall>& calls, std::int32_t sequence) {
  return std::any_of(calls.begin(), calls.end(), [&](const SeenCall& call) {
    return std::any_of(call.parts.begin(), call.parts.end(),
                       [&](const SeenCall::Part& part) { return part.sequence == sequence; });
  });
}

TEST(Credit, WithoutItARequestIsLeftOutAndOthersGoOn) {
  Rig rig(with_spill(2));
  rig.submit(with_credit(request(1), 5 * ipc::kCreditOfToken), "[[long 300]]");
  settle(rig);
  const std::size_t before = rig.sink.answer(1).tokens.size();
  EXPECT_GE(before, 4U);
  EXPECT_LE(before, 5U);
  EXPECT_FALSE(rig.scheduler->can_step());
  EXPECT_GT(rig.scheduler->idle_ns(), 0);
  rig.calls.clear();
  rig.submit(request(2), "[[long 200]]");
  while (!rig.sink.answer(2).finished) ASSERT_TRUE(rig.scheduler->step());
  EXPECT_FALSE(computed_any(rig.calls, 0)) << "its own sequence was computed";
  EXPECT_EQ(rig.sink.answer(1).tokens.size(), before);
  // What was given is used, and no more.
  rig.scheduler->credit({1, kTwoTokens});
  settle(rig);
  const std::size_t after = rig.sink.answer(1).tokens.size();
  EXPECT_GT(after, before);
  EXPECT_LE(after, before + 3);
  rig.scheduler->credit({1, 1U << 20});
  settle(rig);
  EXPECT_TRUE(rig.sink.answer(1).finished);
  EXPECT_FALSE(rig.scheduler->busy());
}

TEST(Credit, ASpilledSequenceGivesItsStreamToOthersAndComesBackBeforeTheQueue) {
  Rig rig(with_spill(1));
  rig.submit(with_credit(request(1), kTwoTokens), "[[long 100]]");
  settle(rig);
  rig.submit(request(2), "[[long 50]]");
  rig.submit(request(3), "[[long 50]]");
  settle(rig);
  EXPECT_TRUE(rig.sink.answer(2).tokens.empty()) << "there is one stream, and it is parked";
  rig.clock.idle_ns += kNsPerSecond / 10;  // others wait: it need not be a whole second
  ASSERT_TRUE(rig.scheduler->can_step());
  ASSERT_TRUE(rig.scheduler->step());
  EXPECT_EQ(rig.scheduler->running(), 1U) << "the next has the stream";
  rig.scheduler->credit({1, 1U << 20});
  while (!rig.sink.answer(1).finished) ASSERT_TRUE(rig.scheduler->step());
  EXPECT_TRUE(rig.sink.answer(2).finished);
  EXPECT_FALSE(rig.sink.answer(3).finished) << "it had not begun";
  rig.run();
  expect_same(rig.sink.answer(1), alone(request(1), "[[long 100]]", ipc::Profile::kFast), "1");
  EXPECT_EQ(rig.sink.stats.back().spilled_bytes, 0U);
}

// Many that come back at once are one tenant's turn, not two hundred.
TEST(Credit, ThoseThatComeBackTakeTurnsWithOtherTenants) {
  SchedulerOptions o = with_spill(1);
  o.queue_requests_max = 1'000;
  Rig rig(o);
  for (ipc::RequestId id = 1; id <= 40; ++id) {
    ipc::Submit submit = with_credit(request(id), kTwoTokens);
    submit.tenant = 1;
    rig.submit(submit, "[[long 60]]");
    settle(rig);
    rig.clock.idle_ns += kNsPerSecond;
    settle(rig);
  }
  for (ipc::RequestId id = 1; id <= 40; ++id) rig.scheduler->credit({id, 1U << 20});
  ipc::Submit other = request(100);
  other.tenant = 2;
  rig.submit(other, "[[long 60]]");
  while (!rig.sink.answer(100).finished) ASSERT_TRUE(rig.scheduler->step());
  std::size_t before = 0;
  for (ipc::RequestId id = 1; id <= 40; ++id) before += rig.sink.answer(id).finished ? 1 : 0;
  EXPECT_LE(before, 2U);
  rig.run();
}

TEST(Credit, WhatHasNoRoomKeepsItsStream) {
  Rig rig(with_spill(1, 10));
  rig.submit(with_credit(request(1), kTwoTokens), "[[long 100]]");
  settle(rig);
  rig.clock.idle_ns += 10 * kNsPerSecond;
  settle(rig);
  EXPECT_EQ(rig.scheduler->running(), 1U);
  EXPECT_EQ(rig.scheduler->idle_ns(), std::numeric_limits<std::int64_t>::max());
  rig.scheduler->credit({1, 1U << 20});
  settle(rig);
  EXPECT_TRUE(rig.sink.answer(1).finished);
}

TEST(Credit, CancelFreesWhatIsParkedSpilledOrComingBack) {
  for (const int state : {0, 1, 2}) {
    SCOPED_TRACE(state);
    Rig rig(with_spill(2));
    ipc::Submit two = with_credit(request(1), kTwoTokens);
    two.choices = 2;
    rig.submit(two, "[[long 100]]");
    settle(rig);
    if (state > 0) {
      rig.clock.idle_ns += 2 * kNsPerSecond;
      settle(rig);
      EXPECT_EQ(rig.scheduler->running(), 0U);
    }
    if (state > 1) rig.scheduler->credit({1, kTwoTokens});
    rig.scheduler->cancel(1);
    EXPECT_FALSE(rig.scheduler->busy());
    settle(rig);
    rig.submit(request(2), "[[long 30]]");
    rig.submit(request(3), "[[long 30]]");
    rig.run();
    EXPECT_TRUE(rig.sink.answer(2).finished && rig.sink.answer(3).finished);
    for (const std::uint32_t choice : {0U, 1U}) {
      EXPECT_EQ(rig.sink.answer(1, choice).finished->reason, ipc::FinishReason::kCancelled);
    }
  }
}

// Random credit, pauses and neighbours: every token is the one that the request gets alone.
TEST(Credit, NothingIsLostReorderedOrChanged) {
  std::uint32_t spilled_most = 0;
  for (const ipc::Profile profile : kProfiles) {
    for (std::uint32_t seed = 1; seed <= 10; ++seed) {
      SCOPED_TRACE(seed);
      Dice dice(seed);
      Rig rig(with_spill(1 + dice() % 3, 64 << 20, profile));
      const ipc::RequestId count = 6;
      std::vector<ipc::Submit> submits;
      for (ipc::RequestId id = 0; id < count; ++id) {
        ipc::Submit submit = request(id, id % 2 == 0 ? 0.0F : 1.0F);
        submit.logprobs = id % 3 == 0;
        submits.push_back(submit);
        rig.submit(with_credit(submit, 1 + dice() % 3'000), prompt_of(30 + 90 * id, 1));
      }
      for (int turns = 0; rig.scheduler->busy(); ++turns) {
        ASSERT_LT(turns, 100'000);
        if (dice() % 3 == 0) rig.scheduler->credit({dice() % count, 1 + dice() % 2'000});
        if (dice() % 20 == 0) rig.clock.idle_ns += kNsPerSecond;
        ASSERT_TRUE(rig.scheduler->step());
        for (const ipc::Stats& stats : rig.sink.stats) {
          spilled_most = std::max(spilled_most, stats.spilled);
        }
        rig.sink.stats.clear();
      }
      for (ipc::RequestId id = 0; id < count; ++id) {
        expect_same(rig.sink.answer(id), alone(submits[id], prompt_of(30 + 90 * id, 1), profile),
                    "request " + std::to_string(id));
      }
    }
  }
  EXPECT_GT(spilled_most, 0U);
}

TEST(Credit, CostsTheSameHoweverDeltasArePutTogether) {
  ipc::Delta one{1, 0, "ab", {1}, {{1, "ab", -0.5F, {{"c", -1.0F, 2}}}}};
  ipc::Delta other{1, 0, "c", {2}, {}};
  ipc::Delta both{1, 0, "abc", {1, 2}, one.logprobs};
  EXPECT_EQ(ipc::cost_of(one) + ipc::cost_of(other), ipc::cost_of(both));
  EXPECT_GE(ipc::cost_of(other), ipc::kCreditOfToken);
}

}  // namespace
}  // namespace aioss::worker
