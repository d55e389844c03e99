// Prompts that begin as earlier ones did: what is not computed again, and that no answer changes.
#include <gtest/gtest.h>

#include <functional>
#include <optional>

#include "worker/scheduler.h"
#include "worker/scheduler_fixture.h"

namespace aioss::worker {
namespace {

constexpr std::string_view kNoCuts =
    "aioss-fake 1\n"
    "context 2048\n"
    "reply The quick brown fox jumps over the lazy dog, twice.\n"
    "margin 3\n"
    "sabotage no_cut\n";

os::Fd memory() {
  return *os::create_shared_memory("prefixes", kPrefixMemory);
}

// A document, and a question about it.
std::string about(int document, const std::string& question, std::size_t bytes = 600) {
  return prompt_of(bytes, document) + question;
}

ipc::Submit for_tenant(ipc::RequestId id, std::uint64_t tenant, float temperature = 0.7F) {
  ipc::Submit submit = request(id, temperature);
  submit.tenant = tenant;
  submit.tokens_max = 12;
  return submit;
}

// For a stream that is to come from another worker.
void compute_ahead(Rig& rig, ipc::RequestId id, const std::string& prompt) {
  ipc::Submit ahead = for_tenant(id, 7);
  ahead.prefix_only = true;
  rig.submit(ahead, prompt);
  rig.run();
}

std::uint32_t cached(Rig& rig, ipc::RequestId id) {
  const auto& finished = rig.sink.answer(id).finished;
  EXPECT_TRUE(finished);
  return finished ? finished->cached_tokens : 0;
}

// What was prefilled since `from`.
std::int32_t computed(const Rig& rig, std::size_t from = 0) {
  std::int32_t tokens = 0;
  for (std::size_t i = from; i < rig.calls.size(); ++i) {
    for (const SeenCall::Part& part : rig.calls[i].parts) {
      if (part.count > 1) tokens += part.count;
    }
  }
  return tokens;
}

class Prefixes : public ::testing::TestWithParam<ipc::Profile> {
 protected:
  SchedulerOptions with(std::uint32_t streams) const { return options(streams, GetParam()); }
  bool fast() const { return GetParam() == ipc::Profile::kFast; }
  void expect_as_alone(Rig& rig, const ipc::Submit& submit, const std::string& prompt) const {
    expect_same(rig.sink.answer(submit.id), alone(submit, prompt, GetParam()), prompt.substr(500));
  }
};
INSTANTIATE_TEST_SUITE_P(Profiles, Prefixes, ::testing::ValuesIn(kProfiles));

TEST_P(Prefixes, ASecondQuestionComputesWhatIsNew) {
  const os::Fd prefixes = memory();
  Rig rig(with(2), kScript, &prefixes);
  rig.submit(for_tenant(1, 7), about(1, "who?"));
  rig.run();
  EXPECT_EQ(cached(rig, 1), 0U);
  const std::size_t before = rig.calls.size();
  rig.submit(for_tenant(2, 7), about(1, "and where was that, please?"));
  rig.run();
  EXPECT_GE(cached(rig, 2), fast() ? 600U : 576U);
  EXPECT_LT(computed(rig, before), 100);
  expect_as_alone(rig, for_tenant(1, 7), about(1, "who?"));
  expect_as_alone(rig, for_tenant(2, 7), about(1, "and where was that, please?"));
}

// How many states had been saved or copied when a flush first showed what `is_shown` looks for;
// nothing: no flush did.
std::optional<std::uint32_t> copies_when_shown(Rig& rig, std::function<bool()> is_shown,
                                               const ipc::Submit& submit,
                                               const std::string& question = "who?") {
  const std::uint32_t before = g_state_copies;
  std::optional<std::uint32_t> copies;
  rig.sink.at_flush = [&] {
    if (!copies && is_shown()) copies = g_state_copies - before;
  };
  rig.submit(submit, about(1, question));
  rig.run();
  rig.sink.at_flush = nullptr;
  EXPECT_GT(g_state_copies, before);
  return copies;
}

TEST_P(Prefixes, TheFirstTokenDoesNotWaitForItsPromptsStateToBeKept) {
  const os::Fd prefixes = memory();
  Rig rig(with(2), kScript, &prefixes);
  const auto first = [&] { return rig.sink.answer(1).tokens.size() == 1; };
  EXPECT_EQ(copies_when_shown(rig, first, for_tenant(1, 7)), 0U);
}

TEST_P(Prefixes, NorDoesThatOfSiblings) {
  const os::Fd prefixes = memory();
  Rig rig(with(2), kScript, &prefixes);
  ipc::Submit both = for_tenant(1, 7);
  both.choices = 2;
  const auto first = [&] {
    return rig.sink.answer(1, 0).tokens.size() == 1 && rig.sink.answer(1, 1).tokens.size() == 1;
  };
  EXPECT_EQ(copies_when_shown(rig, first, both), 0U);
}

// Whom a worker is blamed on that dies in the copy, and what "the prefix is there" means.
TEST_P(Prefixes, AnEndIsToldWithTheStepThatKeepsItsState) {
  const os::Fd prefixes = memory();
  Rig rig(with(2), kScript, &prefixes);
  ipc::Submit one_token = for_tenant(1, 7);
  one_token.tokens_max = 1;
  ipc::Submit ahead = for_tenant(2, 8);
  ahead.prefix_only = true;
  for (const ipc::Submit& submit : {one_token, ahead}) {
    const auto ended = [&] { return rig.sink.answer(submit.id).finished.has_value(); };
    EXPECT_EQ(copies_when_shown(rig, ended, submit), std::nullopt);
  }
}

TEST(PrefixesFast, NorIsAnEndToldEarlierIfASiblingGoesOn) {
  const std::string question = "[[margin 0]]";
  ipc::Submit both = for_tenant(1, 7, 2.0F);
  both.choices = 2;
  Rig before(options(2));
  before.submit(both, about(1, question));
  before.run();
  const std::string first = before.sink.answer(1, 0).parts.at(0);
  ASSERT_NE(first, before.sink.answer(1, 1).parts.at(0)) << "another seed is wanted";
  both.stop = {first};
  const os::Fd prefixes = memory();
  Rig rig(options(2), kScript, &prefixes);
  const auto ended = [&] { return rig.sink.answer(1, 0).finished.has_value(); };
  EXPECT_EQ(copies_when_shown(rig, ended, both, question), std::nullopt);
  EXPECT_EQ(rig.sink.answer(1, 0).tokens.size(), 1U);
  EXPECT_GT(rig.sink.answer(1, 1).tokens.size(), 1U);
}

TEST_P(Prefixes, OneThatIsOnlyAPrefixSaysNothingAndServesTheNext) {
  const os::Fd prefixes = memory();
  Rig rig(with(2), kScript, &prefixes);
  compute_ahead(rig, 1, about(1, "who?"));
  const Answer& nothing = rig.sink.answer(1);
  ASSERT_TRUE(nothing.finished);
  EXPECT_EQ(nothing.finished->completion_tokens, 0U);
  EXPECT_TRUE(nothing.tokens.empty());
  EXPECT_EQ(nothing.text, "");
  rig.submit(for_tenant(2, 7), about(1, "who?"));
  rig.run();
  EXPECT_GE(cached(rig, 2), fast() ? 600U : 576U);
  expect_as_alone(rig, for_tenant(2, 7), about(1, "who?"));
}

// Of the second round little is new, and it is kept all the same.
TEST_P(Prefixes, WhatAPrefixAddsToAnotherIsKeptHoweverLittle) {
  const os::Fd prefixes = memory();
  Rig rig(with(2), kScript, &prefixes);
  compute_ahead(rig, 1, about(1, ""));
  compute_ahead(rig, 2, about(1, "a few more"));
  rig.submit(for_tenant(3, 7), about(1, "a few more?"));
  rig.run();
  EXPECT_GE(cached(rig, 3), fast() ? 610U : 576U);
  expect_as_alone(rig, for_tenant(3, 7), about(1, "a few more?"));
}

TEST_P(Prefixes, TheSamePromptAgainComputesTheEnd) {
  const os::Fd prefixes = memory();
  Rig rig(with(2), kScript, &prefixes);
  for (const ipc::RequestId id : {1, 2, 3}) {
    rig.submit(for_tenant(id, 7), about(1, "who?"));
    rig.run();
    expect_as_alone(rig, for_tenant(id, 7), about(1, "who?"));
  }
  EXPECT_GE(cached(rig, 3), 512U);
  EXPECT_LT(cached(rig, 3), rig.sink.accepted.at(3).prompt_tokens);
}

TEST_P(Prefixes, OnTheGridWhereBitsCount) {
  const os::Fd prefixes = memory();
  Rig rig(with(2), kScript, &prefixes);
  rig.submit(for_tenant(1, 7), about(1, "who?"));
  rig.run();
  rig.submit(for_tenant(2, 7), about(1, "where?"));
  rig.run();
  EXPECT_EQ(cached(rig, 2) % (fast() ? 1 : 64), 0U);
  EXPECT_GT(cached(rig, 2), 0U);
}

TEST_P(Prefixes, NoTenantLearnsWhatAnotherHasAsked) {
  const os::Fd prefixes = memory();
  Rig rig(with(2), kScript, &prefixes);
  rig.submit(for_tenant(1, 7), about(1, "who?"));
  rig.run();
  rig.submit(for_tenant(2, 8), about(1, "who?"));
  rig.run();
  EXPECT_EQ(cached(rig, 2), 0U);
  rig.submit(for_tenant(3, 7), about(2, "who?"));  // at once: no fork either
  rig.submit(for_tenant(4, 8), about(2, "who?"));
  rig.run();
  EXPECT_EQ(cached(rig, 3) + cached(rig, 4), 0U);
}

TEST_P(Prefixes, FourAtOnceComputeTheirDocumentOnce) {
  const os::Fd prefixes = memory();
  Rig rig(with(4), kScript, &prefixes);
  for (ipc::RequestId id = 1; id <= 4; ++id) {
    rig.submit(for_tenant(id, 7), about(1, "question number " + std::to_string(id)));
  }
  rig.run();
  for (ipc::RequestId id = 1; id <= 4; ++id) {
    EXPECT_EQ(cached(rig, id) >= 512, id != 1) << id;
    expect_as_alone(rig, for_tenant(id, 7), about(1, "question number " + std::to_string(id)));
  }
  EXPECT_LT(computed(rig), 1'000) << "600, and four ends";
}

// Their ends are short: nobody's first token waits for the others' second and third.
TEST_P(Prefixes, TheEndsOfThoseThatForkedGoOneAfterAnother) {
  const os::Fd prefixes = memory();
  Rig rig(with(4), kScript, &prefixes);
  for (ipc::RequestId id = 1; id <= 4; ++id) {
    rig.submit(for_tenant(id, 7), about(1, "question number " + std::to_string(id)));
  }
  rig.run();
  std::vector<std::size_t> ends;
  for (std::size_t i = 0; i < rig.calls.size(); ++i) {
    const SeenCall::Part& part = rig.calls[i].parts.front();
    if (part.from >= 512 && part.count > 1 && part.count <= 64) ends.push_back(i);
  }
  ASSERT_GE(ends.size(), 4U);
  EXPECT_LE(ends.back() - ends.front() + 1 - ends.size(), 1U) << "decode steps between them";
}

TEST_P(Prefixes, WhoWaitsForOneThatLeavesGoesOnAlone) {
  const os::Fd prefixes = memory();
  SchedulerOptions o = with(3);
  o.batch_tokens_max = 64;
  Rig rig(o, kScript, &prefixes);
  for (ipc::RequestId id = 1; id <= 3; ++id) {
    rig.submit(for_tenant(id, 7), about(1, "question number " + std::to_string(id)));
  }
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(rig.scheduler->step());
  rig.scheduler->cancel(1);
  rig.run();
  for (ipc::RequestId id = 2; id <= 3; ++id) {
    expect_as_alone(rig, for_tenant(id, 7), about(1, "question number " + std::to_string(id)));
  }
  EXPECT_EQ(cached(rig, 2), 0U);
  EXPECT_GE(cached(rig, 3), 512U);
}

// A waits for nobody, B for A, and C begins like B where A is past it already.
TEST_P(Prefixes, NobodyWaitsForWhatAnotherOneNeverComputes) {
  const os::Fd prefixes = memory();
  SchedulerOptions o = with(3);
  o.batch_tokens_max = 512;
  Rig rig(o, kScript, &prefixes);
  const std::string document = prompt_of(700, 1);
  rig.submit(for_tenant(1, 7), document + "first");
  rig.submit(for_tenant(2, 7), document + "second");
  ASSERT_TRUE(rig.scheduler->step());  // 512 of the first
  rig.submit(for_tenant(3, 7), document.substr(0, 400) + prompt_of(90, 9));
  rig.run();
  expect_as_alone(rig, for_tenant(2, 7), document + "second");
  expect_same(rig.sink.answer(3),
              alone(for_tenant(3, 7), document.substr(0, 400) + prompt_of(90, 9), GetParam()), "3");
}

TEST_P(Prefixes, WhoWaitsForOneThatWaitsLooksAgainToo) {
  const os::Fd prefixes = memory();
  SchedulerOptions o = with(4);
  o.batch_tokens_max = 64;
  Rig rig(o, kScript, &prefixes);
  rig.submit(for_tenant(9, 7), prompt_of(500, 1) + "what is kept");
  rig.run();
  const std::string document = prompt_of(900, 1);
  rig.submit(for_tenant(1, 7), document + prompt_of(300, 5));
  rig.submit(for_tenant(2, 7), document + prompt_of(300, 6) + "b");
  rig.submit(for_tenant(3, 7), document + prompt_of(300, 6) + "c");
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(rig.scheduler->step());
  rig.scheduler->cancel(1);
  rig.run();
  for (const ipc::RequestId id : {2, 3}) {
    expect_same(
        rig.sink.answer(id),
        alone(for_tenant(id, 7), document + prompt_of(300, 6) + (id == 2 ? "b" : "c"), GetParam()),
        "after a cancel");
  }
}

TEST_P(Prefixes, WhoWaitsMayLeaveToo) {
  const os::Fd prefixes = memory();
  SchedulerOptions o = with(3);
  o.batch_tokens_max = 64;
  Rig rig(o, kScript, &prefixes);
  for (ipc::RequestId id = 1; id <= 3; ++id) rig.submit(for_tenant(id, 7), about(1, "who?"));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(rig.scheduler->step());
  rig.scheduler->cancel(2);
  rig.run();
  expect_as_alone(rig, for_tenant(1, 7), about(1, "who?"));
  expect_as_alone(rig, for_tenant(3, 7), about(1, "who?"));
}

TEST_P(Prefixes, ShortOnesAreNotHeldUpForALittleInCommon) {
  const os::Fd prefixes = memory();
  SchedulerOptions o = with(2);
  o.batch_tokens_max = 64;
  Rig rig(o, kScript, &prefixes);
  rig.submit(for_tenant(1, 7), about(1, "long", 1'500));
  rig.submit(for_tenant(2, 7), about(1, "short but of its own", 70) + prompt_of(200, 9));
  rig.run();
  EXPECT_EQ(cached(rig, 2), 0U);
}

TEST_P(Prefixes, TheNextWorkerGoesOnWithThem) {
  const os::Fd prefixes = memory();
  {
    Rig rig(with(2), kScript, &prefixes);
    rig.submit(for_tenant(1, 7), about(1, "who?"));
    rig.run();
  }
  Rig rig(with(2), kScript, &prefixes);
  rig.submit(for_tenant(2, 7), about(1, "where?"));
  rig.run();
  EXPECT_GE(cached(rig, 2), 512U);
  expect_as_alone(rig, for_tenant(2, 7), about(1, "where?"));
}

TEST_P(Prefixes, AWorkerOfAnotherGeometryDoesNotBelieveThem) {
  const os::Fd prefixes = memory();
  {
    Rig rig(with(2), kScript, &prefixes);
    rig.submit(for_tenant(1, 7), about(1, "who?"));
    rig.run();
  }
  Rig rig(with(3), kScript, &prefixes);
  rig.submit(for_tenant(2, 7), about(1, "where?"));
  rig.run();
  EXPECT_EQ(cached(rig, 2), 0U);
  expect_as_alone(rig, for_tenant(2, 7), about(1, "where?"));
}

TEST_P(Prefixes, WhereStatesCannotBeCutTheSecondTimeTeachesWhere) {
  const os::Fd prefixes = memory();
  Rig rig(with(2), kNoCuts, &prefixes);
  for (ipc::RequestId id = 1; id <= 3; ++id) {
    rig.submit(for_tenant(id, 7), about(1, "question number " + std::to_string(id)));
    rig.run();
  }
  EXPECT_EQ(cached(rig, 2), 0U);
  EXPECT_GE(cached(rig, 3), 512U);
}

// The same prompt shares what lies on the grid, once it is known that nothing can be cut off there.
TEST(PrefixesReproducible, WhereStatesCannotBeCutTheyEndOnTheGrid) {
  const os::Fd prefixes = memory();
  Rig rig(options(2, ipc::Profile::kReproducible), kNoCuts, &prefixes);
  const int documents[] = {1, 1, 1, 2, 2};  // the second teaches it
  for (ipc::RequestId id = 1; id <= 5; ++id) {
    rig.submit(for_tenant(id, 7), about(documents[id - 1], "who?"));
    rig.run();
  }
  EXPECT_EQ(cached(rig, 2), 0U);
  EXPECT_EQ(cached(rig, 3), 576U) << "the state that nobody can use is still in the way";
  EXPECT_EQ(cached(rig, 5), 576U);
}

// A stop costs a call, which reads all weights.
TEST(PrefixesReproducible, NoPromptStopsForAStateThatIsNotKept) {
  const os::Fd prefixes = memory();
  Rig rig(options(2, ipc::Profile::kReproducible), kNoCuts, &prefixes);
  for (ipc::RequestId id = 1; id <= 3; ++id) {  // afterwards 1,472 of 1,500 tokens are kept
    rig.submit(for_tenant(id, 7), prompt_of(1500, 1));
    rig.run();
  }
  ASSERT_EQ(cached(rig, 3), 1472U);
  const std::string longer = prompt_of(1500, 1) + std::string(100, 'x');
  rig.calls.clear();
  rig.submit(for_tenant(4, 7), longer);
  rig.run();
  EXPECT_EQ(cached(rig, 4), 1472U);
  ASSERT_FALSE(rig.calls.empty());
  const SeenCall::Part& first = rig.calls.front().parts.at(0);
  EXPECT_EQ(first.from, 1472);
  EXPECT_GE(first.from + first.count, static_cast<std::int32_t>(longer.size())) << "it stopped";
}

TEST_P(Prefixes, WhereStatesCannotBeCutForksLeaveOne) {
  const os::Fd prefixes = memory();
  Rig rig(with(2), kNoCuts, &prefixes);
  rig.submit(for_tenant(1, 7), about(1, "question number 1"));
  rig.submit(for_tenant(2, 7), about(1, "question number 2"));
  rig.run();
  rig.submit(for_tenant(3, 7), about(1, "question number 3"));
  rig.run();
  EXPECT_GE(cached(rig, 3), 512U);
}

TEST_P(Prefixes, WhatIsForgottenStartsAnew) {
  const os::Fd prefixes = memory();
  SchedulerOptions o = with(2);
  o.batch_tokens_max = 64;
  Rig rig(o, kScript, &prefixes);
  rig.submit(for_tenant(1, 7), about(1, "who?"));
  rig.run();
  rig.submit(for_tenant(2, 7), about(2, "who?"));  // under way meanwhile
  ASSERT_TRUE(rig.scheduler->step());
  rig.scheduler->forget_prefixes();
  rig.run();
  for (const ipc::RequestId id : {3, 4}) {
    rig.submit(for_tenant(id, 7), about(static_cast<int>(id) - 2, "who?"));
    rig.run();
    EXPECT_EQ(cached(rig, id), 0U);
  }
}

TEST_P(Prefixes, SeveralChoicesShareWhatWasKept) {
  const os::Fd prefixes = memory();
  Rig rig(with(4), kScript, &prefixes);
  rig.submit(for_tenant(1, 7), about(1, "who?"));
  rig.run();
  ipc::Submit three = for_tenant(2, 7);
  three.choices = 3;
  rig.submit(three, about(1, "where?"));
  rig.run();
  for (std::uint32_t choice = 0; choice < 3; ++choice) {
    EXPECT_GE(rig.sink.answer(2, choice).finished->cached_tokens, 512U);
  }
}

// A conversation that grows, whose turns all begin with the ones before.
TEST_P(Prefixes, EachTurnKeepsWhatTheLastOneAsked) {
  const os::Fd prefixes = memory();
  Rig rig(with(1), kScript, &prefixes);
  std::string talk = prompt_of(300, 1);
  for (ipc::RequestId id = 1; id <= 5; ++id) {
    rig.submit(for_tenant(id, 7), talk);
    rig.run();
    const std::size_t known = id > 1 ? (talk.size() - 200) / 64 * 64 - 64 : 0;
    EXPECT_GE(cached(rig, id), known) << id;
    talk += prompt_of(200, static_cast<int>(id));
  }
}

// The next turn of a chat begins with the answer to the last one, too.
TEST_P(Prefixes, AnAnswerIsPartOfTheNextPrompt) {
  const os::Fd prefixes = memory();
  Rig rig(with(1), kScript, &prefixes);
  ipc::Submit first = for_tenant(1, 7);
  first.tokens_max = 200;
  rig.submit(first, "say something long [[long 150]]", /*chat=*/true);
  rig.run();
  std::vector<Token> next =
      *rig.text->apply_chat_template({{"user", "say something long [[long 150]]", ""}}, 0);
  const std::size_t prompt = next.size();
  const std::vector<Token>& said = rig.sink.answer(1).tokens;
  ASSERT_EQ(said.size(), 150U);
  next.insert(next.end(), said.begin(), said.end());
  next.insert(next.end(), {'o', 'k', '?'});
  ipc::Submit second = for_tenant(2, 7);
  rig.submit_tokens(second, next);
  rig.run();
  // What was decoded is nothing that a result may depend on where bits count.
  EXPECT_EQ(cached(rig, 2), fast() ? prompt + 150 : 0U);
}

// Whatever comes, whenever it leaves: the answers are those that each would have had alone, and
// nothing is left behind.
TEST_P(Prefixes, RandomCompanyNeverChangesAnAnswer) {
  for (std::uint32_t seed = 0; seed < 40; ++seed) {
    Dice dice(seed);
    const os::Fd prefixes = *os::create_shared_memory("prefixes", 200'000 + dice() % 1'000'000);
    SchedulerOptions o = with(1 + dice() % 4);
    o.batch_tokens_max = 64 + 64 * (dice() % 3);
    const std::string_view script = dice() % 2 == 0 ? kScript : kNoCuts;
    Rig rig(o, script, &prefixes);
    struct Asked {
      ipc::Submit submit;
      std::string prompt;
      bool cancelled = false;
    };
    std::vector<Asked> asked;
    for (ipc::RequestId id = 1; id <= 14; ++id) {
      std::string prompt = about(static_cast<int>(dice() % 2), "", 150 + dice() % 600);
      prompt += prompt_of(dice() % 80, static_cast<int>(dice() % 3));
      asked.push_back({for_tenant(id, 1 + dice() % 2), prompt});
      asked.back().submit.tokens_max = 1 + dice() % 10;
      rig.submit(asked.back().submit, prompt);
      for (std::uint32_t steps = dice() % 6; steps > 0; --steps) ASSERT_TRUE(rig.scheduler->step());
      if (dice() % 6 == 0) {
        Asked& gone = asked[dice() % asked.size()];
        if (!rig.sink.answer(gone.submit.id).finished) gone.cancelled = true;
        rig.scheduler->cancel(gone.submit.id);
      }
      if (dice() % 10 == 0) rig.scheduler->forget_prefixes();
    }
    rig.run();
    for (const Asked& one : asked) {
      if (one.cancelled) continue;
      Rig lone(options(1, GetParam()), script);
      lone.submit(one.submit, one.prompt);
      lone.run();
      expect_same(rig.sink.answer(one.submit.id), lone.sink.answer(one.submit.id),
                  "seed " + std::to_string(seed));
    }
    EXPECT_EQ(rig.scheduler->running(), 0U);
  }
}

}  // namespace
}  // namespace aioss::worker
