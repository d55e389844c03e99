// Tenants take turns, by tokens.
#include "worker/fair_queue.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "worker/scheduler_fixture.h"

namespace aioss::worker {
namespace {

ipc::Submit of_tenant(std::uint64_t tenant, ipc::RequestId id) {
  ipc::Submit submit = request(id);
  submit.tenant = tenant;
  return submit;
}

std::size_t ended(Rig& rig, ipc::RequestId from, ipc::RequestId to) {
  std::size_t count = 0;
  for (ipc::RequestId id = from; id < to; ++id) {
    if (rig.sink.answer(id).finished) ++count;
  }
  return count;
}

TEST(FairQueue, AThousandRequestsOfOneDelayAnotherByATurn) {
  Rig rig(with_queue(1, 4'000));
  for (ipc::RequestId id = 1; id <= 1'000; ++id) rig.submit(of_tenant(1, id), "[[long 20]]");
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(rig.scheduler->step());
  for (ipc::RequestId id = 2'001; id <= 2'005; ++id) {
    const std::size_t before = ended(rig, 1, 1'001);
    rig.submit(of_tenant(2, id), "[[long 20]]");
    while (!rig.sink.answer(id).finished) ASSERT_TRUE(rig.scheduler->step());
    EXPECT_LE(ended(rig, 1, 1'001) - before, 2U) << "more than who was running, and a turn";
  }
  rig.run();
}

TEST(FairQueue, TurnsAreCountedInTokens) {
  Rig rig(with_queue(2, 4'000));
  for (ipc::RequestId id = 1; id <= 40; ++id) rig.submit(of_tenant(1, id), "[[long 200]]");
  for (ipc::RequestId id = 1'001; id <= 1'400; ++id) rig.submit(of_tenant(2, id), "[[long 10]]");
  std::uint64_t large = 0, small = 0;
  for (int i = 0; i < 3'000; ++i) ASSERT_TRUE(rig.scheduler->step());
  for (const auto& [id, accepted] : rig.sink.accepted) {
    const std::uint64_t tokens = rig.sink.answer(id).tokens.size();
    if (tokens > 0) (id < 1'000 ? large : small) += tokens + accepted.prompt_tokens;
  }
  EXPECT_GT(small, large * 8 / 10) << "400 small requests are as good as 40 large ones";
  EXPECT_LT(small, large * 12 / 10);
  rig.run();
}

TEST(FairQueue, WhoComesBackHasSavedNothingUp) {
  Rig rig(with_queue(1, 4'000));
  for (ipc::RequestId id = 1; id <= 200; ++id) rig.submit(of_tenant(1, id), "[[long 30]]");
  while (ended(rig, 1, 201) < 100) ASSERT_TRUE(rig.scheduler->step());
  for (ipc::RequestId id = 1'001; id <= 1'100; ++id) rig.submit(of_tenant(2, id), "[[long 30]]");
  while (ended(rig, 1'001, 1'101) < 10) ASSERT_TRUE(rig.scheduler->step());
  EXPECT_GE(ended(rig, 1, 201), 108U) << "the first tenant waits for all that the other missed";
  rig.run();
}

TEST(FairQueue, NobodyTakesTheWholeQueue) {
  Rig rig(with_queue(1, 8));
  rig.submit(of_tenant(1, 1), "[[long 50]]");
  for (ipc::RequestId id = 2; id <= 9; ++id) rig.submit(of_tenant(1, id), "q");
  EXPECT_EQ(rig.sink.rejected.size(), 2U) << "six of eight places";
  EXPECT_NE(rig.sink.rejected.at(8).message.find("of your requests"), std::string::npos);
  rig.submit(of_tenant(2, 20), "q");
  rig.submit(of_tenant(3, 21), "q");
  EXPECT_EQ(rig.sink.rejected.size(), 2U);
  rig.submit(of_tenant(4, 22), "q");
  EXPECT_EQ(rig.sink.rejected.size(), 3U) << "now it is full";
  rig.run();
  // Nobody in particular: the queue is one.
  for (ipc::RequestId id = 31; id <= 39; ++id) rig.submit(of_tenant(0, id), "q");
  EXPECT_EQ(rig.sink.rejected.size(), 3U);
  rig.run();
}

TEST(FairQueue, TokensCountForTheWeight) {
  Rig rig(with_queue(2, 4'000));
  for (ipc::RequestId id = 1; id <= 400; ++id) {
    ipc::Submit light = of_tenant(1, id), heavy = of_tenant(2, 1'000 + id);
    heavy.weight = 300;  // three times the default
    rig.submit(std::move(light), "[[long 20]]");
    rig.submit(std::move(heavy), "[[long 20]]");
  }
  for (int i = 0; i < 3'000; ++i) ASSERT_TRUE(rig.scheduler->step());
  const std::size_t light = ended(rig, 1, 401), heavy = ended(rig, 1'001, 1'401);
  EXPECT_GT(light, 10U);
  EXPECT_GE(heavy, light * 27 / 10);
  EXPECT_LE(heavy, light * 33 / 10 + 1);
  rig.run();
}

ipc::Submit batch(ipc::RequestId id) {
  ipc::Submit submit = request(id);
  submit.priority = ipc::Priority::kBatch;
  return submit;
}

TEST(FairQueue, InteractiveGoesFirstAndBatchGetsOneTurnOfEight) {
  Rig rig(with_queue(1, 4'000));
  rig.submit(request(999), "[[long 5]]");
  for (ipc::RequestId id = 1; id <= 10; ++id) rig.submit(batch(id), "[[long 5]]");
  for (ipc::RequestId id = 101; id <= 140; ++id) rig.submit(request(id), "[[long 5]]");
  rig.run();
  // In order of their ends: there is one stream.
  std::vector<ipc::RequestId> order;
  for (const Bytes& frame : rig.sink.frames) {
    const auto message = ipc::decode_from_worker(frame);
    if (const auto* end = std::get_if<ipc::Finished>(&*message)) order.push_back(end->id);
  }
  ASSERT_EQ(order.size(), 51U);
  order.erase(order.begin());
  for (std::size_t i = 0; i < 40; ++i) {
    EXPECT_EQ(order[i] <= 10, i % 8 == 7) << i << ": " << order[i];
  }
  for (std::size_t i = 46; i < 50; ++i) EXPECT_LE(order[i], 10U) << "who is left";
}

TEST(FairQueue, PromptsOfBatchWaitForInteractiveOnes) {
  SchedulerOptions o = options(2);
  o.batch_tokens_max = 64;
  Rig rig(o);
  rig.submit(batch(1), "[[long 5]]" + std::string(300, ' '));
  ASSERT_TRUE(rig.scheduler->step());
  rig.submit(request(2), "[[long 5]]" + std::string(600, ' '));
  while (rig.sink.answer(1).tokens.empty() && rig.sink.answer(2).tokens.empty()) {
    ASSERT_TRUE(rig.scheduler->step());
  }
  EXPECT_FALSE(rig.sink.answer(2).tokens.empty()) << "though it is longer";
  rig.run();
}

TEST(FairQueue, PositionsCountWhoGoesBefore) {
  Rig rig(with_queue(1, 100));
  rig.submit(request(1), "[[long 50]]");
  rig.submit(batch(2), "q");
  rig.submit(batch(3), "q");
  rig.submit(request(4), "q");
  EXPECT_EQ(rig.sink.accepted.at(2).queue_position, 1U);
  EXPECT_EQ(rig.sink.accepted.at(3).queue_position, 2U);
  EXPECT_EQ(rig.sink.accepted.at(4).queue_position, 1U) << "batch does not go before it";
  rig.run();
}

}  // namespace
}  // namespace aioss::worker
