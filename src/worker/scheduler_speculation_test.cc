// Drafts change how many calls an answer takes, and nothing of the answer.
#include <gtest/gtest.h>

#include <algorithm>

#include "ipc/limits.h"
#include "os/environment.h"
#include "worker/scheduler.h"
#include "worker/scheduler_fixture.h"

namespace aioss::worker {
namespace {

const std::string kPhrase =
    "The clerk of the court keeps every word that was said in the hall, and every word twice. ";
const std::string kCopy = "[[echo]] " + kPhrase + kPhrase;

SchedulerOptions drafting(std::uint32_t streams, ipc::Profile profile = ipc::Profile::kFast) {
  SchedulerOptions o = options(streams, profile);
  o.draft_tokens_max = kDraftTokensMax;
  return o;
}

// A request by itself, with and without drafts.
struct Both {
  Both(const ipc::Submit& submit, const std::string& prompt,
       ipc::Profile profile = ipc::Profile::kFast)
      : without(options(1, profile)), with(drafting(1, profile)) {
    for (Rig* const rig : {&without, &with}) {
      rig->submit(submit, prompt);
      rig->run();
    }
    for (std::uint32_t choice = 0; choice < submit.choices; ++choice) {
      expect_same(with.sink.answer(submit.id, choice), without.sink.answer(submit.id, choice),
                  prompt);
      EXPECT_EQ(with.sink.answer(submit.id, choice).parts,
                without.sink.answer(submit.id, choice).parts);
    }
  }
  std::uint64_t accepted() const { return with.sink.stats.back().accepted_tokens; }
  std::uint64_t drafted() const { return with.sink.stats.back().drafted_tokens; }
  Rig without, with;
};

TEST(Drafts, ACopyTakesAFractionOfTheCallsAndIsTheSame) {
  for (const ipc::Profile profile : {ipc::Profile::kFast, ipc::Profile::kEvidence}) {
    for (const bool logprobs : {false, true}) {
      ipc::Submit submit = request(1);
      submit.logprobs = logprobs;
      submit.top_logprobs = logprobs ? 3 : 0;
      Both both(submit, kCopy, profile);
      EXPECT_LT(both.with.session->counters().decode_calls * 3,
                both.without.session->counters().decode_calls);
      EXPECT_GT(both.accepted() * 2, both.drafted());
      EXPECT_EQ(both.with.sink.stats.back().completion_tokens,
                both.without.sink.stats.back().completion_tokens);
    }
  }
}

// Where each token is drawn, some drafts come true and some do not.
TEST(Drafts, DrawnTokensAreThoseThatTheLogitsGive) {
  std::uint64_t drafted = 0;
  std::uint64_t accepted = 0;
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    ipc::Submit submit = request(1, 1.0F);
    submit.sampling.seed = seed;
    submit.sampling.repetition_penalty = seed % 3 == 0 ? 1.1F : 1.0F;
    submit.sampling.top_p = seed % 2 == 0 ? 0.9F : 1.0F;
    Both both(submit, "[[margin 4]]" + kCopy);
    drafted += both.drafted();
    accepted += both.accepted();
  }
  EXPECT_GT(accepted, 100U);
  EXPECT_GT(drafted, accepted + 100) << "no draft was ever wrong";
}

TEST(Drafts, LimitsCutARunWhereTheyWouldCutWithoutThem) {
  for (std::uint32_t most = 1; most <= 120; ++most) {
    ipc::Submit submit = request(1);
    submit.tokens_max = most;
    Both both(submit, kCopy);
    EXPECT_EQ(both.with.sink.answer(1).tokens.size(), most);
  }
}

TEST(Drafts, StopStringsInTheMiddleOfARunEndIt) {
  for (std::size_t at = 20; at < kPhrase.size(); at += 3) {
    ipc::Submit submit = request(1);
    submit.stop = {(kPhrase + kPhrase).substr(at + kPhrase.size(), 9), "never said"};
    Both both(submit, kCopy);
    EXPECT_EQ(both.with.sink.answer(1).finished->reason, ipc::FinishReason::kStop);
  }
}

// The first answer and its end stand in the second prompt, and so in the drafts.
TEST(Drafts, AnEndInTheMiddleOfARunEndsIt) {
  std::vector<Answer> answers;
  for (const SchedulerOptions& o : {options(1), drafting(1)}) {
    Rig rig(o);
    rig.submit_tokens(
        request(1),
        *rig.text->apply_chat_template(
            {{"user", kCopy, ""}, {"assistant", kPhrase, ""}, {"user", "[[echo]]" + kPhrase, ""}},
            0));
    rig.run();
    answers.push_back(rig.sink.answer(1));
  }
  expect_same(answers[1], answers[0], "two turns");
  EXPECT_EQ(answers[1].text, kPhrase);
  EXPECT_EQ(answers[1].finished->reason, ipc::FinishReason::kStop);
}

TEST(Drafts, ALastContextCellIsUsedAndNoneBeyond) {
  for (std::uint32_t cells = 260; cells < 300; ++cells) {
    SchedulerOptions o = drafting(1);
    o.cells_per_stream = cells;
    Rig rig(o);
    ipc::Submit submit = request(1);
    submit.ignore_eos = true;
    rig.submit(submit, kCopy);
    rig.run();
    const Answer& answer = rig.sink.answer(1);
    ASSERT_TRUE(answer.finished);
    EXPECT_EQ(answer.tokens.size() + answer.finished->prompt_tokens, cells);
  }
}

// Credit ends a run as it would end decoding: not one token more is sent.
TEST(Drafts, CreditIsOverdrawnByOneTokenAtMost) {
  for (std::uint64_t tokens = 1; tokens < 60; ++tokens) {
    ipc::Submit submit = request(1);
    submit.credit_bytes = tokens * ipc::kCreditOfToken;
    Rig with(drafting(1));
    Rig without(options(1));
    for (Rig* const rig : {&with, &without}) {
      rig->submit(submit, kCopy);
      for (int round = 0; round < 1'000 && rig->scheduler->busy(); ++round) {
        while (rig->scheduler->can_step()) ASSERT_TRUE(rig->scheduler->step());
        if (round == 0 && rig == &without) {
          EXPECT_EQ(with.sink.answer(1).parts.size(), with.sink.answer(1).tokens.size());
        }
        rig->scheduler->credit({1, tokens * ipc::kCreditOfToken});
      }
      ASSERT_TRUE(rig->sink.answer(1).finished);
    }
    expect_same(with.sink.answer(1), without.sink.answer(1), std::to_string(tokens));
  }
  // Exactly as many after the first credit.
  ipc::Submit submit = request(1);
  submit.credit_bytes = 57 * ipc::kCreditOfToken;
  std::vector<std::size_t> sent;
  for (const SchedulerOptions& o : {options(1), drafting(1)}) {
    Rig rig(o);
    rig.submit(submit, kCopy);
    while (rig.scheduler->can_step()) ASSERT_TRUE(rig.scheduler->step());
    sent.push_back(rig.sink.answer(1).tokens.size());
  }
  EXPECT_EQ(sent[0], sent[1]);
}

TEST(Drafts, OthersShareTheCallsAndNobodyDrafts) {
  Rig rig(drafting(2));
  rig.submit(request(1), kCopy);
  rig.submit(request(2), kCopy);
  while (!rig.sink.answer(1).finished && !rig.sink.answer(2).finished) {
    ASSERT_TRUE(rig.scheduler->step());
  }
  for (const SeenCall& call : rig.calls) {
    const bool prompt = call.parts.front().from == 0;
    EXPECT_TRUE(prompt || call.outputs == call.parts.size());
  }
}

// A recurrent model: the first refused cut is healed, and there is no second.
TEST(Drafts, AnEngineThatCannotCutIsAskedOnce) {
  const std::string script = std::string(kScript) + "sabotage no_cut\n";
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    ipc::Submit submit = request(1, 1.0F);
    submit.sampling.seed = seed;
    Rig with(drafting(1), script);
    Rig without(options(1), script);
    for (Rig* const rig : {&with, &without}) {
      rig->submit(submit, "[[margin 4]]" + kCopy);
      rig->run();
      submit.id = 2;
      rig->submit(submit, "[[margin 4]]" + kCopy);
      rig->run();
      submit.id = 1;
    }
    for (const ipc::RequestId id : {1, 2}) {
      expect_same(with.sink.answer(id), without.sink.answer(id), std::to_string(seed));
    }
    const auto refused =
        std::count_if(with.calls.begin(), with.calls.end(), [](const SeenCall& call) {
          return call.parts.size() == 1 && call.parts[0].from == 0 && call.outputs == 0;
        });
    EXPECT_LE(refused, 1);
  }
}

// ---- everything at once

struct Life {
  ipc::Submit submit;
  std::string prompt;
  bool cancelled = false;
};

Life random_life(Dice& random, ipc::RequestId id) {
  Life life;
  life.submit = request(id, random() % 2 == 0 ? 0.0F : 1.0F);
  life.submit.choices = random() % 6 == 0 ? 1 + random() % 3 : 1;
  life.submit.tokens_max = random() % 3 == 0 ? 0 : 1 + random() % 200;
  if (random() % 4 == 0) life.submit.stop = {"hall, and", "twice"};
  life.submit.logprobs = random() % 4 == 0;
  if (random() % 2 == 0) life.submit.credit_bytes = 1 + random() % 9'000;
  const char* const margins[] = {"", "[[margin 3]]", "[[margin 6]]"};
  life.prompt = margins[random() % 3];
  life.prompt += random() % 4 == 0 ? prompt_of(100, static_cast<int>(id)) : kCopy;
  return life;
}

void compare_with_plain(Rig& rig, const std::map<ipc::RequestId, Life>& lives) {
  for (const auto& [id, life] : lives) {
    if (!rig.sink.accepted.contains(id)) continue;
    Rig lonely(options(life.submit.choices));
    ipc::Submit submit = life.submit;
    submit.credit_bytes = 0;
    lonely.submit(submit, life.prompt);
    lonely.run();
    for (std::uint32_t choice = 0; choice < submit.choices; ++choice) {
      const Answer& got = rig.sink.answer(id, choice);
      const Answer& want = lonely.sink.answer(id, choice);
      ASSERT_TRUE(got.finished);
      if (got.finished->reason == ipc::FinishReason::kCancelled) {
        EXPECT_TRUE(life.cancelled && want.text.starts_with(got.text));
      } else {
        expect_same(got, want, "request " + std::to_string(id));
      }
    }
  }
}

std::uint64_t random_run(std::uint32_t seed) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  Dice random(seed);
  SchedulerOptions o = drafting(1 + random() % 3);
  o.batch_tokens_max = 64 << random() % 4;
  o.spill_bytes_max = random() % 2 == 0 ? 64 << 20 : 0;
  Rig rig(o);
  std::map<ipc::RequestId, Life> lives;
  const std::uint32_t requests = 3 + random() % 6;
  for (int turns = 0; lives.size() < requests || rig.scheduler->busy(); ++turns) {
    if (turns == 100'000) {
      ADD_FAILURE() << "it does not come to an end";
      break;
    }
    if (lives.size() < requests && random() % 30 == 0) {
      const ipc::RequestId id = lives.size();
      lives.emplace(id, random_life(random, id));
      rig.submit(lives.at(id).submit, lives.at(id).prompt);
    }
    if (!lives.empty() && random() % 4 == 0) {
      rig.scheduler->credit({random() % lives.size(), 1 + random() % 3'000});
    }
    if (!lives.empty() && random() % 200 == 0) {
      const ipc::RequestId id = random() % lives.size();
      rig.scheduler->cancel(id);
      lives.at(id).cancelled = true;
    }
    if (random() % 20 == 0) rig.clock.idle_ns += 1'000'000'000;
    const Status status = rig.scheduler->step();
    if (!status) {
      ADD_FAILURE() << status.error().message;
      break;
    }
  }
  compare_with_plain(rig, lives);
  return rig.sink.stats.empty() ? 0 : rig.sink.stats.back().accepted_tokens;
}

TEST(Drafts, RandomLivesAreAsTheyWouldBeWithoutThem) {
  std::uint64_t accepted = 0;
  const std::uint32_t seeds = os::environment("AIOSS_LONG").has_value() ? 2'000 : 60;
  for (std::uint32_t seed = 1; seed <= seeds; ++seed) {
    accepted += random_run(seed);
    if (HasFatalFailure() || HasNonfatalFailure()) FAIL() << "repeat with seed " << seed;
  }
  EXPECT_GT(accepted, seeds * 10U);
}

}  // namespace
}  // namespace aioss::worker
