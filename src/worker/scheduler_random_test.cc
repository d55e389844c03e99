// Everything at once: requests that start, stop and are cancelled at random.
#include "worker/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "worker/scheduler_fixture.h"

namespace aioss::worker {
namespace {

using ipc::FinishReason;

// ---- everything at once

struct Life {
  ipc::Submit submit;
  std::string prompt;
  bool cancelled = false;
};

Life random_life(Dice& random, ipc::RequestId id) {
  Life life;
  life.submit = request(id, random() % 2 == 0 ? 0.0F : 1.2F);
  life.submit.choices = random() % 5 == 0 ? 1 + random() % 4 : 1;
  life.submit.tokens_max = random() % 3 == 0 ? 0 : 1 + random() % 60;
  if (random() % 4 == 0) life.submit.stop = {"the", "o", "世"};
  life.submit.logprobs = random() % 4 == 0;
  life.prompt = (random() % 2 == 0 ? "[[margin 1]] " : "") +
                prompt_of(10 + random() % 400, static_cast<int>(random() % 50));
  return life;
}

void random_run(std::uint32_t seed) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  Dice random(seed);
  const ipc::Profile profile = kProfiles[seed % 2];
  SchedulerOptions o = options(1 + random() % 6, profile);
  o.queue_requests_max = random() % 8;
  o.batch_tokens_max = 64 << random() % 4;
  Rig rig(o);
  std::map<ipc::RequestId, Life> lives;
  const std::uint32_t requests = 5 + random() % 15;
  while (lives.size() < requests || rig.scheduler->busy()) {
    if (lives.size() < requests && random() % 4 == 0) {
      const ipc::RequestId id = lives.size();
      Life life = random_life(random, id);
      rig.submit(life.submit, life.prompt);
      lives.emplace(id, std::move(life));
    }
    if (!lives.empty() && random() % 24 == 0) {
      const ipc::RequestId id = random() % lives.size();
      rig.scheduler->cancel(id);
      lives.at(id).cancelled = true;
    }
    const Status status = rig.scheduler->step();
    ASSERT_TRUE(status) << status.error().message;
    ASSERT_LE(rig.scheduler->running(), o.streams);
  }
  EXPECT_EQ(rig.scheduler->running(), 0U);
  for (const auto& [id, life] : lives) {
    if (!rig.sink.accepted.contains(id)) {
      EXPECT_EQ(rig.sink.rejected.at(id).code, Code::kBusy);
      continue;
    }
    Rig lonely(options(life.submit.choices, profile));
    lonely.submit(life.submit, life.prompt);
    lonely.run();
    for (std::uint32_t choice = 0; choice < life.submit.choices; ++choice) {
      const Answer& got = rig.sink.answer(id, choice);
      const Answer& want = lonely.sink.answer(id, choice);
      ASSERT_TRUE(got.finished);
      if (got.finished->reason == FinishReason::kCancelled) {
        EXPECT_TRUE(life.cancelled);
        EXPECT_TRUE(want.text.starts_with(got.text));
        continue;
      }
      expect_same(got, want, "request " + std::to_string(id));
    }
  }
}

TEST(Scheduler, RandomLivesAreAsTheyWouldBeAlone) {
  for (std::uint32_t seed = 1; seed <= 300; ++seed) {
    random_run(seed);
    if (HasFatalFailure() || HasNonfatalFailure()) {
      FAIL() << "repeat with seed " << seed;
    }
  }
}

}  // namespace
}  // namespace aioss::worker
