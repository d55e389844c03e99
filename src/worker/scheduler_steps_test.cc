// How steps are composed: chunks, the grid, gaps, dense ids.
#include "worker/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "worker/scheduler_fixture.h"

namespace aioss::worker {
namespace {

// ---- how steps are composed

TEST(Scheduler, CallsAreDecodeStepsOrChunksOfOneSequence) {
  for (const ipc::Profile profile : kProfiles) {
    Rig rig(options(4, profile));
    std::map<std::int32_t, int> prompts;
    for (ipc::RequestId id = 0; id < 10; ++id) {
      rig.submit(request(id), prompt_of(20 + id * 131 % 900, static_cast<int>(id)));
      (void)rig.scheduler->step();
    }
    rig.run();
    for (const SeenCall& call : rig.calls) {
      if (call.parts.size() == 1) continue;
      std::int32_t before = -1;
      for (const SeenCall::Part& part : call.parts) {
        EXPECT_EQ(part.count, 1);
        EXPECT_GT(part.sequence, before) << "ascending ids";
        before = part.sequence;
      }
      EXPECT_EQ(call.outputs, call.parts.size());
    }
  }
}

TEST(Scheduler, ReproducibleChunksEndOnTheGridOrWithThePrompt) {
  for (const std::uint32_t batch : {64U, 100U, 512U}) {
    SchedulerOptions o = options(2, ipc::Profile::kReproducible);
    o.batch_tokens_max = batch;
    Rig rig(o);
    for (const std::size_t prompt : {1UL, 63UL, 64UL, 65UL, 128UL, 700UL, 1000UL}) {
      rig.calls.clear();
      ipc::Submit submit = request(prompt);
      submit.tokens_max = 3;
      rig.submit_tokens(submit, std::vector<Token>(prompt, 'x'));
      rig.submit_tokens(request(prompt + 5000), std::vector<Token>(prompt, 'y'));
      rig.run();
      for (const SeenCall& call : rig.calls) {
        if (call.parts.size() != 1 || call.parts[0].from >= static_cast<int>(prompt)) continue;
        const SeenCall::Part& part = call.parts[0];
        const std::int32_t end = part.from + part.count;
        EXPECT_EQ(part.from % 64, 0);
        EXPECT_TRUE(end % 64 == 0 || end == static_cast<int>(prompt)) << end;
        const bool fits = prompt - static_cast<std::size_t>(part.from) <= batch;
        EXPECT_TRUE(!fits || end == static_cast<int>(prompt)) << "the tail costs a call: " << end;
        EXPECT_LE(part.count, static_cast<int>(batch));
      }
    }
  }
}

TEST(Scheduler, ALongPromptDoesNotFreezeTheOthers) {
  SchedulerOptions o = options(2);
  o.gap_target_ns = 100'000'000;  // of GraphClock: 10 ms a graph and 1 ms a token
  Rig rig(o);
  ipc::Submit talker = request(1);
  talker.tokens_max = 200;
  rig.submit(talker, "[[long 900]]");
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(rig.scheduler->step());
  rig.submit(request(2), prompt_of(1500, 2));
  rig.calls.clear();
  std::int64_t before = rig.clock.monotonic_ns();
  std::int64_t longest = 0;
  std::size_t tokens = rig.sink.answer(1).tokens.size();
  while (!rig.sink.answer(2).finished) {
    ASSERT_TRUE(rig.scheduler->step());
    if (rig.sink.answer(1).tokens.size() == tokens) continue;
    tokens = rig.sink.answer(1).tokens.size();
    longest = std::max(longest, rig.clock.monotonic_ns() - before);
    before = rig.clock.monotonic_ns();
  }
  EXPECT_LE(longest, o.gap_target_ns + 30'000'000);
  EXPECT_GT(longest, o.gap_target_ns / 2) << "the budget is used";
}

// Pieces are even, and no more of them than the gap asks for.
TEST(Scheduler, APromptBetweenGridStepsIsCutNoMoreOftenThanOneOnThem) {
  SchedulerOptions o = options(2, ipc::Profile::kReproducible);
  o.gap_target_ns = 180'000'000;  // of GraphClock: 10 ms a graph and 1 ms a token, so 128 tokens
  o.gap_most_ns = o.gap_target_ns;
  Rig rig(o);
  ipc::Submit talker = request(1);
  talker.tokens_max = 400;
  rig.submit(talker, "[[long 900]]");
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(rig.scheduler->step());
  rig.submit_tokens(request(2), std::vector<Token>(300, 'x'));  // so that speeds are known
  while (!rig.sink.answer(2).finished) ASSERT_TRUE(rig.scheduler->step());
  rig.calls.clear();
  rig.submit_tokens(request(3), std::vector<Token>(680, 'y'));
  while (!rig.sink.answer(3).finished) ASSERT_TRUE(rig.scheduler->step());
  std::vector<std::int32_t> chunks;
  for (const SeenCall& call : rig.calls) {
    if (call.parts.size() == 1 && call.parts[0].count > 1) chunks.push_back(call.parts[0].count);
  }
  EXPECT_LE(chunks.size(), 6U);
  EXPECT_LE(*std::max_element(chunks.begin(), chunks.end()), 128);
}

TEST(Scheduler, APromptThatNeedNotBeCutIsNot) {
  for (const ipc::Profile profile : kProfiles) {
    SchedulerOptions o = options(3, profile);
    o.gap_target_ns = 100'000'000;  // of GraphClock: 10 ms a graph and 1 ms a token
    o.gap_most_ns = 500'000'000;
    Rig rig(o);
    ipc::Submit talker = request(1);
    talker.tokens_max = 200;
    rig.submit(talker, "[[long 900]]");
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(rig.scheduler->step());
    rig.calls.clear();
    rig.submit_tokens(request(2), std::vector<Token>(192, 'x'));
    rig.submit_tokens(request(3), std::vector<Token>(448, 'y'));
    while (!rig.sink.answer(3).finished) ASSERT_TRUE(rig.scheduler->step());
    std::map<std::int32_t, std::vector<std::int32_t>> chunks;
    for (const SeenCall& call : rig.calls) {
      const SeenCall::Part& part = call.parts[0];
      if (call.parts.size() == 1 && part.count > 1) chunks[part.sequence].push_back(part.count);
    }
    EXPECT_EQ(chunks[1], (std::vector<std::int32_t>{192}));
    ASSERT_GT(chunks[2].size(), 3U);
    EXPECT_LE(*std::max_element(chunks[2].begin(), chunks[2].end()), 128);
  }
}

TEST(Scheduler, AloneAPromptTakesWholeBatches) {
  Rig rig(options(2));
  rig.submit_tokens(request(1), std::vector<Token>(1100, 'x'));
  rig.run();
  ASSERT_GE(rig.calls.size(), 3U);
  EXPECT_EQ(rig.calls[0].parts[0].count, 512);
  EXPECT_EQ(rig.calls[1].parts[0].count, 512);
  EXPECT_EQ(rig.calls[2].parts[0].count, 76);
}

TEST(Scheduler, ShortPromptsPassLongOnesAndLongOnesStillArrive) {
  SchedulerOptions o = options(8);
  o.batch_tokens_max = 64;
  Rig rig(o);
  ipc::Submit longest = request(1);
  longest.tokens_max = 1;
  rig.submit_tokens(longest, std::vector<Token>(1900, 'x'));
  ASSERT_TRUE(rig.scheduler->step());
  ipc::RequestId id = 2;
  int steps = 0;
  int short_done_first = 0;
  while (!rig.sink.answer(1).finished) {
    if (rig.scheduler->running() < 8) {
      ipc::Submit brief = request(id++);
      brief.tokens_max = 1;
      rig.submit_tokens(brief, std::vector<Token>(60, 'y'));
    }
    ASSERT_TRUE(rig.scheduler->step());
    ASSERT_LT(++steps, 1000) << "the long prompt starves";
  }
  for (const auto& [key, answer] : rig.sink.answers) short_done_first += answer.finished ? 1 : 0;
  EXPECT_GT(short_done_first, 20);
}

// ---- dense ids

std::size_t runs_of(const SeenCall& call) {
  std::size_t runs = 1;
  for (std::size_t i = 1; i < call.parts.size(); ++i) {
    if (call.parts[i].sequence != call.parts[i - 1].sequence + 1) ++runs;
  }
  return runs;
}

TEST(Scheduler, NewRequestsFillHolesFirst) {
  Rig rig(options(4));
  for (ipc::RequestId id = 1; id <= 4; ++id) {
    ipc::Submit submit = request(id);
    submit.tokens_max = id == 2 ? 10 : 300;
    submit.ignore_eos = true;
    rig.submit(submit, "x");
  }
  while (!rig.sink.answer(2).finished) ASSERT_TRUE(rig.scheduler->step());
  rig.submit(request(5), "x");
  ASSERT_TRUE(rig.scheduler->step());
  ASSERT_TRUE(rig.scheduler->step());
  ASSERT_TRUE(rig.scheduler->step());
  EXPECT_EQ(rig.calls.back().parts.size(), 4U);
  EXPECT_EQ(runs_of(rig.calls.back()), 1U);
}

TEST(Scheduler, AHoleIsClosedWhereThatPaysAndTheTextStaysTheSame) {
  for (const ipc::Profile profile : kProfiles) {
    const auto run = [&](std::int64_t graph_ns) {
      auto rig = std::make_unique<Rig>(options(4, profile));
      rig->clock.graph_ns = graph_ns;
      for (ipc::RequestId id = 1; id <= 4; ++id) {
        ipc::Submit submit = request(id, 1.0F);
        submit.tokens_max = id == 2 ? 10 : 200;
        submit.ignore_eos = true;
        rig->submit(submit, "[[margin 1]] number " + std::to_string(id));
      }
      rig->run();
      return rig;
    };
    const auto costly = run(10'000'000);
    const auto cheap = run(0);  // graphs cost nothing: no copy pays
    const auto holes = [](const Rig& rig) {
      return std::count_if(rig.calls.begin(), rig.calls.end(),
                           [](const SeenCall& call) { return runs_of(call) > 1; });
    };
    EXPECT_LE(holes(*costly), 1);
    EXPECT_GT(holes(*cheap), 100);
    for (ipc::RequestId id = 1; id <= 4; ++id) {
      expect_same(costly->sink.answer(id), cheap->sink.answer(id), std::to_string(id));
    }
  }
}

}  // namespace
}  // namespace aioss::worker
