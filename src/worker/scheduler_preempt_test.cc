// Overcommit: who is sent to memory, and that it comes back exactly as it was.
#include <gtest/gtest.h>

#include "base/strings.h"
#include "worker/scheduler_fixture.h"

namespace aioss::worker {
namespace {

SchedulerOptions overcommitted(std::uint32_t streams, ipc::Profile profile) {
  SchedulerOptions o = options(streams, profile);
  o.overcommit = true;
  o.spill_bytes_max = 1U << 30;
  return o;
}

ipc::Submit batch_request(ipc::RequestId id, float temperature = 0.0F) {
  ipc::Submit submit = request(id, temperature);
  submit.priority = ipc::Priority::kBatch;
  return submit;
}

void run_until(Rig& rig, const std::function<bool()>& condition) {
  for (int i = 0; i < 10'000 && !condition(); ++i) ASSERT_TRUE(rig.scheduler->step());
  ASSERT_TRUE(condition());
}

bool ended(Rig& rig, ipc::RequestId id) {
  return rig.sink.answer(id).finished.has_value();
}

TEST(Preempt, TheBatchSequenceThatBeganLastGivesWayAndComesBackTheSame) {
  for (const ipc::Profile profile : kProfiles) {
    for (const float temperature : {0.0F, 0.9F}) {
      Rig rig(overcommitted(2, profile));
      rig.submit(batch_request(1, temperature), "[[long 300]] first");
      run_until(rig, [&] { return rig.sink.answer(1).tokens.size() > 10; });
      rig.submit(batch_request(2, temperature), "[[long 300]] second");
      run_until(rig, [&] { return rig.sink.answer(2).tokens.size() > 10; });
      rig.submit(request(3), "[[long 40]]");
      const std::size_t before = rig.sink.answer(2).tokens.size();
      run_until(rig, [&] { return ended(rig, 3); });
      EXPECT_LE(rig.sink.answer(2).tokens.size(), before + 1) << "it gave way";
      EXPECT_GE(rig.sink.answer(1).tokens.size(), before + 30) << "and the other went on";
      rig.run();
      EXPECT_EQ(rig.sink.stats.back().preempted, 1U);
      EXPECT_EQ(rig.sink.stats.back().spilled_bytes, 0U);
      expect_same(rig.sink.answer(1),
                  alone(batch_request(1, temperature), "[[long 300]] first", profile), "first");
      expect_same(rig.sink.answer(2),
                  alone(batch_request(2, temperature), "[[long 300]] second", profile), "second");
    }
  }
}

TEST(Preempt, NobodyGivesWayToBatchAndInteractiveNeverDoes) {
  Rig rig(overcommitted(1, ipc::Profile::kFast));
  rig.submit(request(1), "[[long 100]]");
  run_until(rig, [&] { return rig.sink.answer(1).tokens.size() > 5; });
  rig.submit(request(2), "q");
  rig.submit(batch_request(3), "[[long 100]]");
  run_until(rig, [&] { return ended(rig, 1) && ended(rig, 2); });
  run_until(rig, [&] { return rig.sink.answer(3).tokens.size() > 5; });
  rig.submit(batch_request(4), "q");
  rig.run();
  EXPECT_EQ(rig.sink.stats.back().preempted, 0U);
}

TEST(Preempt, OffByDefaultAndWithoutMemory) {
  for (const bool on : {false, true}) {
    SchedulerOptions o = options(1);
    o.overcommit = on;
    o.spill_bytes_max = on ? 0 : 1U << 30;
    Rig rig(o);
    rig.submit(batch_request(1), "[[long 100]]");
    run_until(rig, [&] { return rig.sink.answer(1).tokens.size() > 5; });
    rig.submit(request(2), "q");
    run_until(rig, [&] { return ended(rig, 2); });
    EXPECT_TRUE(ended(rig, 1));
    rig.run();
    EXPECT_EQ(rig.sink.stats.back().preempted, 0U);
  }
}

// Interactive requests without end: batch moves on by a turn's tokens for every seven of them.
TEST(Preempt, BatchDoesNotStarve) {
  Rig rig(overcommitted(1, ipc::Profile::kReproducible));
  rig.submit(batch_request(1), "[[long 200]]");
  run_until(rig, [&] { return rig.sink.answer(1).tokens.size() > 5; });
  ipc::RequestId next = 100;
  int steps = 0;
  while (!ended(rig, 1) && ++steps < 20'000) {
    while (rig.scheduler->queued() < 3) rig.submit(request(next++), "[[long 5]]");
    ASSERT_TRUE(rig.scheduler->step());
  }
  EXPECT_TRUE(ended(rig, 1));
  EXPECT_LE(next - 100, 7U * (200 / 32 + 2) + 3) << "seven for each turn";
  rig.run();
  EXPECT_GT(rig.sink.stats.back().preempted, 3U);
  expect_same(rig.sink.answer(1),
              alone(batch_request(1), "[[long 200]]", ipc::Profile::kReproducible), "batch");
}

TEST(Preempt, ADeadlineIsNotHopelessIfSomebodyGivesWay) {
  SchedulerOptions o = overcommitted(1, ipc::Profile::kFast);
  for (const bool on : {true, false}) {
    o.overcommit = on;
    Rig rig(o);
    rig.submit(batch_request(1), "[[long 1500]]");
    run_until(rig, [&] { return rig.sink.answer(1).tokens.size() > 5; });
    ipc::Submit hurried = request(2);
    hurried.deadline_ms = 100;
    rig.submit(hurried, "q");
    EXPECT_EQ(rig.sink.accepted.contains(2), on);
    rig.run();
  }
}

TEST(Preempt, ACancelOfOneInMemoryFreesIt) {
  Rig rig(overcommitted(1, ipc::Profile::kFast));
  rig.submit(batch_request(1), "[[long 300]]");
  run_until(rig, [&] { return rig.sink.answer(1).tokens.size() > 5; });
  rig.submit(request(2), "[[long 50]]");
  run_until(rig, [&] { return rig.sink.answer(2).tokens.size() > 5; });
  rig.scheduler->cancel(1);
  EXPECT_TRUE(ended(rig, 1));
  EXPECT_EQ(rig.sink.answer(1).finished->reason, ipc::FinishReason::kCancelled);
  rig.run();
  EXPECT_EQ(rig.sink.stats.back().spilled, 0U);
}

// Random mixes: every answer is what it would be alone, and no stream or byte is lost.
TEST(Preempt, RandomMixesChangeNoAnswer) {
  const int rounds = 6;
  for (std::uint32_t seed = 1; seed <= static_cast<std::uint32_t>(rounds); ++seed) {
    Dice dice(seed);
    Rig rig(overcommitted(1 + dice() % 3, ipc::Profile::kReproducible));
    std::map<ipc::RequestId, std::pair<ipc::Submit, std::string>> asked;
    for (ipc::RequestId id = 1; id <= 24; ++id) {
      ipc::Submit submit = dice() % 2 == 0 ? batch_request(id, 0.8F) : request(id, 0.8F);
      const std::string prompt = "[[long " + std::to_string(5 + dice() % 60) + "]]";
      asked.emplace(id, std::pair(submit, prompt));
      rig.submit(submit, prompt);
      for (std::uint32_t i = dice() % 12; i > 0; --i) ASSERT_TRUE(rig.scheduler->step());
    }
    rig.run();
    EXPECT_EQ(rig.sink.stats.back().spilled_bytes, 0U);
    for (const auto& [id, what] : asked) {
      expect_same(rig.sink.answer(id), alone(what.first, what.second, ipc::Profile::kReproducible),
                  "seed " + std::to_string(seed) + ", " + std::to_string(id));
    }
  }
}

}  // namespace
}  // namespace aioss::worker
