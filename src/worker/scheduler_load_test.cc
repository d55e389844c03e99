// What is told of a queue: to whom it has no place for, and once a second to the gateway.
#include <gtest/gtest.h>

#include "ipc/limits.h"
#include "worker/scheduler_fixture.h"

namespace aioss::worker {
namespace {

TEST(SchedulerLoad, AFullQueueSaysHowLongItIs) {
  Rig rig(with_queue(1, 4));
  for (ipc::RequestId id = 1; id <= 6; ++id) rig.submit(request(id), "[[long 100]]");
  const Error unmeasured = rig.sink.rejected.at(6);
  EXPECT_EQ(unmeasured.code, Code::kBusy);
  ASSERT_TRUE(unmeasured.backlog);
  EXPECT_EQ(unmeasured.backlog->position, 4U);
  EXPECT_FALSE(unmeasured.backlog->seconds) << "nothing was computed yet";
  rig.run();  // which measures
  const std::int64_t begun = rig.clock.monotonic_ns();
  for (ipc::RequestId id = 11; id <= 16; ++id) rig.submit(request(id), "[[long 100]]");
  const Error measured = rig.sink.rejected.at(16);
  ASSERT_TRUE(measured.backlog && measured.backlog->seconds);
  EXPECT_EQ(measured.backlog->position, 4U);
  rig.run();
  const double took = static_cast<double>(rig.clock.monotonic_ns() - begun) / 1e9;
  EXPECT_NEAR(*measured.backlog->seconds, took, took / 5 + 1) << "five requests, then its turn";
}

TEST(SchedulerLoad, WhatCannotBeginInTimeIsRefused) {
  Rig rig(with_queue(1, 100));
  rig.submit(request(1), "[[long 100]]");
  rig.run();
  for (ipc::RequestId id = 2; id <= 30; ++id) rig.submit(request(id), "[[long 100]]");
  ipc::Submit hurried = request(40);
  hurried.deadline_ms = 2'000;
  rig.submit(hurried, "q");
  ASSERT_TRUE(rig.sink.rejected.contains(40));
  EXPECT_EQ(rig.sink.rejected.at(40).code, Code::kBusy);
  EXPECT_TRUE(rig.sink.rejected.at(40).backlog);
  ipc::Submit patient = request(41);
  patient.deadline_ms = 3'600'000;
  rig.submit(patient, "q");
  EXPECT_TRUE(rig.sink.accepted.contains(41));
  ipc::Submit resumed = request(42);
  resumed.deadline_ms = 2'000;
  resumed.resume = {{{1}, false}};
  rig.sink.answers[{42, 0}].tokens = {1};
  rig.submit(resumed, "q");
  EXPECT_TRUE(rig.sink.accepted.contains(42)) << "its answer has begun";
  rig.run();
}

TEST(SchedulerLoad, APromptOverTheTenantsLimitIsRefusedWithBothNumbers) {
  Rig rig(options(1));
  ipc::Submit submit = request(1);
  submit.prompt_tokens_max = 10;
  rig.submit(submit, prompt_of(60, 1));
  ASSERT_TRUE(rig.sink.rejected.contains(1));
  EXPECT_EQ(rig.sink.rejected.at(1).code, Code::kTooLarge);
  EXPECT_EQ(rig.sink.rejected.at(1).field, "prompt") << "tokens were given";
  EXPECT_NE(rig.sink.rejected.at(1).message.find("may send 10"), std::string::npos);
}

TEST(SchedulerLoad, StatsNameTheClassesAndTheMostLoadedTenants) {
  Rig rig(with_queue(1, 1'000));
  for (ipc::RequestId id = 1; id <= 100; ++id) {
    ipc::Submit submit = request(id);
    submit.tenant = id;
    if (id % 4 == 0) submit.priority = ipc::Priority::kBatch;
    rig.submit(submit, "[[long 200]]");
  }
  for (ipc::RequestId id = 101; id <= 105; ++id) {
    ipc::Submit submit = request(id);
    submit.tenant = 7;
    rig.submit(submit, "[[long 200]]");
  }
  while (rig.sink.stats.size() < 2) ASSERT_TRUE(rig.scheduler->step());
  const ipc::Stats& stats = rig.sink.stats.back();
  EXPECT_EQ(stats.queued, 104U);
  EXPECT_EQ(stats.waiting_batch, 25U);
  EXPECT_GT(stats.tokens_per_second, 0);
  EXPECT_GT(stats.decode_step_ns, 0U);
  EXPECT_GT(stats.chunk_ns, 0U);
  ASSERT_TRUE(stats.wait_seconds);
  EXPECT_GT(*stats.wait_seconds, 0U);
  ASSERT_EQ(stats.tenants.size(), ipc::kStatsTenantsMax);
  EXPECT_EQ(stats.tenants[0].tenant, 7U);
  EXPECT_EQ(stats.tenants[0].waiting + stats.tenants[0].running, 6U);
  rig.run();
  EXPECT_TRUE(rig.sink.stats.back().tenants.empty());
  EXPECT_EQ(rig.sink.stats.back().wait_seconds, 0U);
}

}  // namespace
}  // namespace aioss::worker
