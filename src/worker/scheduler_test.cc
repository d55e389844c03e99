#include "worker/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "worker/scheduler_fixture.h"

namespace aioss::worker {
namespace {

using ipc::FinishReason;

TEST(Scheduler, AnswersAndFinishes) {
  Rig rig(options(1));
  rig.submit(request(1), "[[reply Hello there.]]");
  rig.run();
  const Answer& answer = rig.sink.answer(1);
  EXPECT_EQ(answer.text, "Hello there.");
  ASSERT_TRUE(answer.finished);
  EXPECT_EQ(answer.finished->reason, FinishReason::kStop);
  EXPECT_EQ(answer.tokens.size(), 12U) << "the end token is no part of the answer";
  EXPECT_EQ(answer.finished->completion_tokens, 12U);
  EXPECT_EQ(answer.finished->prompt_tokens, rig.sink.accepted.at(1).prompt_tokens);
  EXPECT_GT(answer.finished->timings.prefill_ns, 0U);
  EXPECT_GT(answer.finished->timings.decode_ns, 0U);
}

TEST(Scheduler, NeighboursChangeNothing) {
  for (const ipc::Profile profile : kProfiles) {
    for (const float temperature : {0.0F, 1.0F}) {
      Rig rig(options(8, profile));
      std::vector<std::pair<ipc::Submit, std::string>> requests;
      for (int i = 0; i < 12; ++i) {
        ipc::Submit submit = request(static_cast<ipc::RequestId>(i), temperature);
        submit.logprobs = true;
        submit.top_logprobs = 3;
        submit.tokens_max = 40 + static_cast<std::uint32_t>(i);
        requests.push_back({submit, prompt_of(static_cast<std::size_t>(30 + i * 97 % 700), i)});
      }
      for (const auto& [submit, prompt] : requests) {
        rig.submit(submit, prompt);
        ASSERT_TRUE(rig.scheduler->step());
        ASSERT_TRUE(rig.scheduler->step());
      }
      rig.run();
      for (const auto& [submit, prompt] : requests) {
        expect_same(rig.sink.answer(submit.id), alone(submit, prompt, profile),
                    "request " + std::to_string(submit.id));
      }
    }
  }
}

TEST(Scheduler, TwoEqualRunsAreEqualToTheByte) {
  const auto run = [] {
    Rig rig(options(3));
    for (ipc::RequestId id = 0; id < 6; ++id) {
      rig.submit(request(id, 0.8F), prompt_of(100 * (id + 1), static_cast<int>(id)));
      (void)rig.scheduler->step();
      if (id == 3) rig.scheduler->cancel(1);
    }
    rig.run();
    return rig.sink.frames;
  };
  EXPECT_EQ(run(), run());
}

TEST(Scheduler, CancelAtEveryStepFreesTheStreamAndHurtsNobody) {
  const std::string prompt = prompt_of(300, 1);
  for (const ipc::Profile profile : kProfiles) {
    const Answer want = alone(request(2), prompt, profile);
    const Answer whole = alone(request(1), prompt, profile);
    for (int at = 0; at < 40; ++at) {
      Rig rig(options(2, profile));
      rig.submit(request(1), prompt);
      rig.submit(request(2), prompt);
      rig.submit(request(3), prompt);
      for (int i = 0; i < at && rig.scheduler->busy(); ++i) ASSERT_TRUE(rig.scheduler->step());
      rig.scheduler->cancel(1);
      rig.scheduler->cancel(1);
      EXPECT_EQ(rig.scheduler->queued(), 1U);
      ASSERT_TRUE(rig.scheduler->step());
      EXPECT_EQ(rig.scheduler->queued(), 0U) << "the stream is free within one step";
      rig.run();
      const Answer& cancelled = rig.sink.answer(1);
      ASSERT_TRUE(cancelled.finished);
      EXPECT_EQ(cancelled.finished->reason, FinishReason::kCancelled);
      ASSERT_LE(cancelled.tokens.size(), whole.tokens.size());
      EXPECT_TRUE(
          std::equal(cancelled.tokens.begin(), cancelled.tokens.end(), whole.tokens.begin()));
      expect_same(rig.sink.answer(2), want, "cancel at " + std::to_string(at));
      EXPECT_EQ(rig.sink.answer(3).text, want.text);
    }
  }
}

TEST(Scheduler, CancelInTheQueueAndOfTheUnknown) {
  Rig rig(options(1));
  rig.submit(request(1), "a");
  rig.submit(request(2), "b");
  rig.scheduler->cancel(2);
  rig.scheduler->cancel(99);
  rig.run();
  EXPECT_EQ(rig.sink.answer(2).finished->reason, FinishReason::kCancelled);
  EXPECT_EQ(rig.sink.answer(2).tokens.size(), 0U);
  EXPECT_EQ(rig.sink.answer(1).finished->reason, FinishReason::kStop);
}

TEST(Scheduler, TheQueueIsFirstInFirstOutAndBounded) {
  SchedulerOptions o = options(1);
  o.queue_requests_max = 2;
  Rig rig(o);
  for (ipc::RequestId id = 1; id <= 4; ++id) rig.submit(request(id), "x");
  EXPECT_EQ(rig.sink.accepted.at(1).queue_position, 0U);
  EXPECT_EQ(rig.sink.accepted.at(2).queue_position, 1U);
  EXPECT_EQ(rig.sink.accepted.at(3).queue_position, 2U);
  ASSERT_TRUE(rig.sink.rejected.contains(4));
  EXPECT_EQ(rig.sink.rejected.at(4).code, Code::kBusy);
  rig.run();
  std::vector<ipc::RequestId> order;
  for (const Bytes& frame : rig.sink.frames) {
    const auto event = ipc::decode_from_worker(frame);
    if (const auto* m = std::get_if<ipc::Finished>(&*event)) order.push_back(m->id);
  }
  EXPECT_EQ(order, (std::vector<ipc::RequestId>{1, 2, 3}));
  rig.submit(request(5), "x");
  EXPECT_EQ(rig.sink.accepted.at(5).queue_position, 0U) << "room again";
}

TEST(Scheduler, WithoutAQueueOnlyFreeStreamsAreServed) {
  SchedulerOptions o = options(2);
  o.queue_requests_max = 0;
  Rig rig(o);
  for (ipc::RequestId id = 1; id <= 3; ++id) rig.submit(request(id), "x");
  EXPECT_EQ(rig.sink.accepted.size(), 2U);
  EXPECT_EQ(rig.sink.rejected.at(3).code, Code::kBusy);
  rig.run();
}

TEST(Scheduler, WhatCanNeverFitIsRefusedWithBothNumbers) {
  SchedulerOptions o = options(1);
  o.cells_per_stream = 100;
  Rig rig(o);
  const std::vector<Token> fits(99, 'x');
  const std::vector<Token> full(100, 'x');
  rig.submit_tokens(request(1), full);
  ASSERT_TRUE(rig.sink.rejected.contains(1));
  EXPECT_EQ(rig.sink.rejected.at(1).code, Code::kContextExceeded);
  EXPECT_NE(rig.sink.rejected.at(1).message.find("100 tokens"), std::string::npos);
  ipc::Submit two = request(2);
  two.tokens_max = 2;
  rig.submit_tokens(two, fits);
  ASSERT_TRUE(rig.sink.rejected.contains(2));
  const std::string& message = rig.sink.rejected.at(2).message;
  EXPECT_NE(message.find("99 tokens"), std::string::npos) << message;
  EXPECT_NE(message.find("101"), std::string::npos) << message;
  EXPECT_EQ(rig.sink.rejected.at(2).field, "max_tokens");
  ipc::Submit huge = request(3);
  huge.tokens_max = 0xFFFFFFFF;
  rig.submit_tokens(huge, fits);
  EXPECT_TRUE(rig.sink.rejected.contains(3)) << "no overflow";
  rig.submit_tokens(request(4), fits);
  rig.run();
  EXPECT_EQ(rig.sink.answer(4).tokens.size(), 1U) << "the rest of the context is one token";
}

TEST(Scheduler, BadTokensAndBiasesAreRefused) {
  Rig rig(options(1));
  rig.submit_tokens(request(1), {});
  EXPECT_EQ(rig.sink.rejected.at(1).field, "prompt");
  rig.submit_tokens(request(2), {1, 264});
  EXPECT_EQ(rig.sink.rejected.at(2).field, "prompt");
  rig.submit_tokens(request(3), {-1});
  EXPECT_TRUE(rig.sink.rejected.contains(3));
  ipc::Submit biased = request(4);
  biased.sampling.logit_bias = {{264, 1.0F}};
  rig.submit(biased, "x");
  EXPECT_EQ(rig.sink.rejected.at(4).field, "logit_bias");
  EXPECT_FALSE(rig.scheduler->busy());
}

TEST(Scheduler, MaxTokensCutsAndAbsentMeansTheRest) {
  Rig rig(options(2));
  ipc::Submit five = request(1);
  five.tokens_max = 5;
  rig.submit(five, "[[long 200]]");
  ipc::Submit endless = request(2);
  endless.ignore_eos = true;
  rig.submit(endless, "[[reply ok]]");
  rig.run();
  EXPECT_EQ(rig.sink.answer(1).finished->reason, FinishReason::kLength);
  EXPECT_EQ(rig.sink.answer(1).tokens.size(), 5U);
  EXPECT_EQ(rig.sink.answer(1).text.size(), 5U);
  const Answer& rest = rig.sink.answer(2);
  EXPECT_EQ(rest.finished->reason, FinishReason::kLength);
  EXPECT_EQ(rest.tokens.size() + rest.finished->prompt_tokens, 2048U) << "every cell is used";
}

TEST(Scheduler, IgnoreEosGoesOnToTheLimit) {
  Rig rig(options(1));
  ipc::Submit submit = request(1);
  submit.tokens_max = 20;
  submit.ignore_eos = true;
  rig.submit(submit, "[[reply Hi]]");
  rig.run();
  EXPECT_EQ(rig.sink.answer(1).tokens.size(), 20U);
  EXPECT_EQ(rig.sink.answer(1).finished->reason, FinishReason::kLength);
}

TEST(Scheduler, StopStringsCutTheText) {
  Rig rig(options(1));
  ipc::Submit submit = request(1);
  submit.stop = {"fox j", "nothing"};
  rig.submit(submit, "[[reply The quick brown fox jumps.]]");
  rig.run();
  const Answer& answer = rig.sink.answer(1);
  EXPECT_EQ(answer.text, "The quick brown ");
  EXPECT_EQ(answer.finished->reason, FinishReason::kStop);
  EXPECT_EQ(answer.tokens.size(), 21U) << "tokens of the stop string were sampled";
}

TEST(Scheduler, PartsAreWholeCharacters) {
  Rig rig(options(1));
  rig.submit(request(1), "[[utf8]]");
  rig.submit(request(2), "[[badutf8]]");
  rig.run();
  for (const ipc::RequestId id : {1, 2}) {
    EXPECT_FALSE(rig.sink.answer(id).text.empty());
    for (const std::string& part : rig.sink.answer(id).parts) EXPECT_TRUE(codec::is_utf8(part));
  }
}

TEST(Scheduler, LogprobsComeWithEveryToken) {
  Rig rig(options(1));
  ipc::Submit submit = request(1);
  submit.logprobs = true;
  submit.top_logprobs = 5;
  rig.submit(submit, "[[reply Hi!]]");
  rig.run();
  const Answer& answer = rig.sink.answer(1);
  ASSERT_EQ(answer.tokens.size(), 3U);
  ASSERT_EQ(answer.logprobs.size(), 3U);
  EXPECT_EQ(answer.logprobs[0].text, "H");
  EXPECT_EQ(answer.logprobs[0].top.size(), 5U);
  EXPECT_EQ(answer.logprobs[0].top[0].token, 'H');
  EXPECT_EQ(answer.logprobs[0].logprob, answer.logprobs[0].top[0].logprob);
}

// ---- choices

ipc::Submit choices(std::uint32_t n) {
  ipc::Submit submit = request(1, 1.5F);
  submit.choices = n;
  submit.tokens_max = 60;
  return submit;
}

TEST(Scheduler, ChoicesShareOnePrefill) {
  const std::string prompt = "[[margin 1]] " + prompt_of(500, 1);
  Rig one(options(4));
  ipc::Submit single = choices(1);
  single.tokens_max = 1;
  one.submit(single, prompt);
  one.run();
  const std::uint64_t prefill_tokens = one.session->counters().tokens;
  Rig four(options(4));
  ipc::Submit all = choices(4);
  all.tokens_max = 1;
  four.submit(all, prompt);
  four.run();
  EXPECT_EQ(four.session->counters().tokens, prefill_tokens);
}

TEST(Scheduler, ChoicesAreTheSameHoweverManyStartTogether) {
  const std::string prompt = "[[margin 1]] " + prompt_of(200, 1);
  for (const ipc::Profile profile : kProfiles) {
    Rig wide(options(5, profile));
    wide.submit(choices(5), prompt);
    wide.run();
    for (const std::uint32_t streams : {1U, 2U, 3U}) {
      Rig narrow(options(streams, profile));
      narrow.submit(choices(5), prompt);
      narrow.run();
      for (std::uint32_t choice = 0; choice < 5; ++choice) {
        expect_same(narrow.sink.answer(1, choice), wide.sink.answer(1, choice),
                    std::to_string(streams) + " streams, choice " + std::to_string(choice));
      }
    }
    EXPECT_NE(wide.sink.answer(1, 0).tokens, wide.sink.answer(1, 1).tokens);
  }
}

TEST(Scheduler, ChoicesThatEndAtOnceLeaveTheOthersAlone) {
  // Choice by choice the first token may already be the end; the leader's stream then goes first.
  const std::string prompt = "[[margin 0]] [[reply x]]";
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    ipc::Submit submit = choices(4);
    submit.sampling.temperature = 3.0F;
    submit.sampling.seed = seed;
    submit.stop = {"a", "e", "x"};
    Rig wide(options(4));
    wide.submit(submit, prompt);
    wide.run();
    Rig narrow(options(1));
    narrow.submit(submit, prompt);
    narrow.run();
    for (std::uint32_t choice = 0; choice < 4; ++choice) {
      expect_same(wide.sink.answer(1, choice), narrow.sink.answer(1, choice),
                  "seed " + std::to_string(seed));
    }
  }
}

TEST(Scheduler, CancelEndsEveryChoice) {
  for (int at = 0; at < 20; ++at) {
    Rig rig(options(3));
    ipc::Submit submit = choices(5);
    rig.submit(submit, prompt_of(400, 1));
    for (int i = 0; i < at; ++i) ASSERT_TRUE(rig.scheduler->step());
    rig.scheduler->cancel(1);
    EXPECT_FALSE(rig.scheduler->busy());
    EXPECT_EQ(rig.scheduler->running(), 0U);
    EXPECT_EQ(rig.scheduler->queued(), 0U);
    for (std::uint32_t choice = 0; choice < 5; ++choice) {
      EXPECT_EQ(rig.sink.answer(1, choice).finished->reason, FinishReason::kCancelled);
    }
    rig.submit(request(2), "x");
    rig.run();
    EXPECT_EQ(rig.sink.answer(2).finished->reason, FinishReason::kStop);
  }
}

// ---- failures

Status step_until_it_fails(Rig& rig) {
  Status status = ok();
  for (int i = 0; i < 1000 && status; ++i) status = rig.scheduler->step();
  return status;
}

TEST(Scheduler, WhoseCallTheEngineFailsAloneIsTold) {
  Rig rig(options(1));
  rig.submit(request(1), "[[fail 3]] [[long 50]]");
  rig.submit(request(2), "x");
  const Status status = step_until_it_fails(rig);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kEngineFailed);
  ASSERT_TRUE(rig.sink.answer(1).finished);
  EXPECT_EQ(rig.sink.answer(1).finished->reason, FinishReason::kError);
  EXPECT_EQ(rig.sink.answer(1).finished->error->code, Code::kEngineFailed);
  EXPECT_FALSE(rig.sink.answer(2).finished) << "it only waits, and goes on elsewhere";
}

TEST(Scheduler, AllChoicesOfTheRequestThatTheEngineFailsAreToldOfIt) {
  Rig rig(options(2));
  ipc::Submit submit = request(1);
  submit.choices = 3;  // one waits for a stream
  rig.submit(std::move(submit), "[[fail 3]] [[long 50]]");
  ASSERT_FALSE(step_until_it_fails(rig));
  for (std::uint32_t choice = 0; choice < 3; ++choice) {
    ASSERT_TRUE(rig.sink.answer(1, choice).finished) << choice;
    EXPECT_EQ(rig.sink.answer(1, choice).finished->error->code, Code::kEngineFailed);
  }
}

TEST(Scheduler, OfSeveralInOneCallNobodyIsBlamed) {
  Rig rig(options(2));
  rig.submit(request(1), "[[fail 3]] [[long 50]]");
  rig.submit(request(2), "[[long 50]]");
  ASSERT_FALSE(step_until_it_fails(rig));
  EXPECT_FALSE(rig.sink.answer(1).finished);
  EXPECT_FALSE(rig.sink.answer(2).finished);
  EXPECT_TRUE(rig.scheduler->busy());
}

TEST(Scheduler, LogitsThatAreNotNumbersEndOneAnswerOnly) {
  Rig rig(options(2));
  rig.submit(request(1), "[[nan]] [[long 50]]");
  rig.submit(request(2), "[[reply fine]]");
  rig.run();
  EXPECT_EQ(rig.sink.answer(1).finished->reason, FinishReason::kError);
  EXPECT_EQ(rig.sink.answer(1).finished->error->code, Code::kEngineFailed);
  EXPECT_EQ(rig.sink.answer(2).text, "fine");
}

TEST(Scheduler, AnAbortedPrefillLeavesNoTrace) {
  const std::string prompt = prompt_of(900, 1);
  for (const ipc::Profile profile : kProfiles) {
    const Answer want = alone(request(2), prompt, profile);
    Rig rig(options(2, profile));
    rig.submit(request(1), prompt);
    rig.submit(request(2), prompt);
    ASSERT_TRUE(rig.scheduler->step());
    rig.board.cancel(2);  // the next call that prefills it is aborted
    for (int i = 0; i < 12; ++i) ASSERT_TRUE(rig.scheduler->step());
    EXPECT_FALSE(rig.sink.answer(2).finished);
    EXPECT_TRUE(rig.sink.answer(2).tokens.empty());
    rig.board.cancel(77);  // never mind
    rig.run();
    expect_same(rig.sink.answer(2), want, "after an abort");
    EXPECT_EQ(rig.sink.answer(1).text, want.text);
  }
}

TEST(Scheduler, StoppingEndsTheCallThatRuns) {
  Rig rig(options(1));
  rig.submit(request(1), "x");
  rig.board.stop();
  EXPECT_FALSE(rig.scheduler->step());
}

TEST(Scheduler, StatsComeWhileBusyAndOnceWhenIdle) {
  Rig rig(options(2));
  ipc::Submit submit = request(1);
  submit.ignore_eos = true;
  submit.tokens_max = 500;
  rig.submit(submit, "x");
  rig.run();
  ASSERT_TRUE(rig.scheduler->step());
  ASSERT_TRUE(rig.scheduler->step());
  ASSERT_GE(rig.sink.stats.size(), 3U);
  EXPECT_EQ(rig.sink.stats.front().running, 1U);
  EXPECT_EQ(rig.sink.stats.back().running, 0U);
  EXPECT_EQ(rig.sink.stats.back().completion_tokens, 500U);
  const std::size_t count = rig.sink.stats.size();
  ASSERT_TRUE(rig.scheduler->step());
  EXPECT_EQ(rig.sink.stats.size(), count);
}

}  // namespace
}  // namespace aioss::worker
