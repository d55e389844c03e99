// A worker that gives its session back and keeps its model, and one that comes back.
#include "worker/parked.h"

#include <gtest/gtest.h>

#include <string>

#include "worker/worker_fixture.h"

namespace aioss::worker {
namespace {

std::string answer_of(RunningWorker& worker, ipc::RequestId id, std::string_view text,
                      std::uint32_t* cached = nullptr) {
  worker.send_text(id, text);
  EXPECT_EQ(worker.expect<ipc::Accepted>().id, id);
  std::string answer;
  for (;;) {
    const auto message = worker.next();
    if (!message) break;
    if (const auto* delta = std::get_if<ipc::Delta>(&*message)) answer += delta->text;
    const auto* finished = std::get_if<ipc::Finished>(&*message);
    if (finished == nullptr) continue;
    if (cached != nullptr) *cached = finished->cached_tokens;
    return answer;
  }
  ADD_FAILURE() << "no answer";
  return answer;
}

ipc::Wake wake_with(std::uint32_t streams, std::uint32_t cells) {
  ipc::Wake wake;
  wake.session.engine = "fake";
  wake.session.streams = streams;
  wake.session.cells_per_stream = cells;
  return wake;
}

TEST(ParkedWorker, WakesWithAnotherSessionOverTheSameModel) {
  RunningWorker worker(kSmallScript);
  (void)worker.start();
  const int progress = worker.progress;
  for (std::uint32_t round = 1; round <= 3; ++round) {
    EXPECT_EQ(answer_of(worker, round, "hello"), "Good day.");
    worker.send(ipc::Park{});
    (void)worker.expect<ipc::Parked>();
    worker.send(wake_with(round, 64 * round));
    const auto ready = worker.expect<ipc::Ready>();
    EXPECT_EQ(ready.streams, round);
    EXPECT_EQ(ready.cells_per_stream, 64 * round);
    EXPECT_EQ(ready.context_tokens_train, 512U);
  }
  EXPECT_EQ(answer_of(worker, 9, "hello"), "Good day.");
  EXPECT_EQ(worker.progress, progress) << "nothing was loaded again";
  worker.send(ipc::Shutdown{});
  EXPECT_EQ(worker.end(), "exit 0");
}

TEST(ParkedWorker, AnswersWhatNeedsNoSession) {
  RunningWorker worker(kSmallScript);
  (void)worker.start();
  worker.send(ipc::Park{});
  (void)worker.expect<ipc::Parked>();
  worker.send(ipc::Ping{42});
  EXPECT_EQ(worker.expect<ipc::Pong>().nonce, 42U);
  worker.send(ipc::Forget{});
  worker.send(ipc::Cancel{1});  // of a request that ended
  worker.send(ipc::Credit{1, 1});
  worker.send(ipc::Probe{});
  const auto report = worker.expect<ipc::ProbeReport>();
  EXPECT_GE(report.items.size(), 5U);
  for (const auto& item : report.items) EXPECT_TRUE(item.refused) << item.attempt;
  worker.send(ipc::Shutdown{});
  EXPECT_EQ(worker.end(), "exit 0");
}

TEST(ParkedWorker, EndsWhenTheGatewayIsGone) {
  RunningWorker worker(kSmallScript);
  (void)worker.start();
  worker.send(ipc::Park{});
  (void)worker.expect<ipc::Parked>();
  worker.hang_up();
  EXPECT_EQ(worker.end(), "exit 0");
}

// Whoever sends these is confused, and nothing of it is trusted.
TEST(ParkedWorker, WhatMakesNoSenseEndsTheWorker) {
  RunningWorker asked(kSmallScript);
  (void)asked.start();
  asked.send(ipc::Park{});
  (void)asked.expect<ipc::Parked>();
  asked.send_text(1, "who is there?");
  EXPECT_EQ(asked.end(), "exit 76");

  RunningWorker twice(kSmallScript);
  (void)twice.start();
  twice.send(ipc::Park{});
  (void)twice.expect<ipc::Parked>();
  twice.send(ipc::Park{});
  EXPECT_EQ(twice.end(), "exit 76");

  RunningWorker awake(kSmallScript);
  (void)awake.start();
  awake.send(wake_with(1, 64));
  EXPECT_EQ(awake.end(), "exit 76");

  RunningWorker busy("aioss-fake 1\ndelay_us_per_call 2000\n");
  (void)busy.start();
  busy.send_text(1, "[[long 5000]]");
  (void)busy.expect<ipc::Accepted>();
  busy.send(ipc::Park{});
  EXPECT_EQ(busy.end(), "exit 76");
}

TEST(ParkedWorker, ASessionThatCannotBeMadeIsAFailedLoad) {
  RunningWorker worker(kSmallScript);
  (void)worker.start();
  worker.send(ipc::Park{});
  (void)worker.expect<ipc::Parked>();
  ipc::Wake wake = wake_with(1, 64);
  wake.session.kv_type = "q1_0";
  worker.send(wake);
  EXPECT_EQ(worker.expect<ipc::LoadFailed>().error.code, Code::kInvalidArgument);
  EXPECT_EQ(worker.end(), "exit 78");

  RunningWorker other(kSmallScript);
  (void)other.start();
  other.send(ipc::Park{});
  (void)other.expect<ipc::Parked>();
  wake = wake_with(1, 64);
  wake.session.profile = ipc::Profile::kReproducible;  // weights are packed otherwise there
  other.send(wake);
  EXPECT_EQ(other.expect<ipc::LoadFailed>().error.code, Code::kInvalidArgument);
}

TEST(ParkedWorker, WhatItHadOfPromptsIsThereAgainUnlessItWasForgotten) {
  RunningWorker worker("aioss-fake 1\ncontext 4096\nreply Good day.\n", /*prefixes=*/true);
  (void)worker.start();
  const std::string prompt(500, 'x');
  std::uint32_t cached = 0;
  (void)answer_of(worker, 1, prompt, &cached);
  EXPECT_EQ(cached, 0U);
  worker.send(ipc::Park{});
  (void)worker.expect<ipc::Parked>();
  worker.send(wake_with(0, 0));  // states are of one geometry
  (void)worker.expect<ipc::Ready>();
  (void)answer_of(worker, 2, prompt, &cached);
  EXPECT_GT(cached, 400U);
  worker.send(ipc::Park{});
  (void)worker.expect<ipc::Parked>();
  worker.send(ipc::Forget{});
  worker.send(wake_with(0, 0));  // states are of one geometry
  (void)worker.expect<ipc::Ready>();
  (void)answer_of(worker, 3, prompt, &cached);
  EXPECT_EQ(cached, 0U);
}

}  // namespace
}  // namespace aioss::worker
