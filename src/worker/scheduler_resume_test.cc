// Requests whose worker died: what comes is what would have come.
#include <gtest/gtest.h>

#include "worker/scheduler.h"
#include "worker/scheduler_fixture.h"

namespace aioss::worker {
namespace {

constexpr const char* kPrompt = "a question [[long 300]]";

ipc::Submit cut_at(ipc::Submit submit, const std::vector<Answer>& whole,
                   const std::vector<std::size_t>& at) {
  for (std::size_t choice = 0; choice < whole.size(); ++choice) {
    const auto& tokens = whole[choice].tokens;
    const auto end = tokens.begin() + static_cast<std::ptrdiff_t>(at[choice]);
    submit.resume.push_back({{tokens.begin(), end}, false});
  }
  return submit;
}

std::string text_from(const Answer& whole, std::size_t token) {
  std::string text;
  for (std::size_t i = token; i < whole.parts.size(); ++i) text += whole.parts[i];
  return text;
}

void expect_rest(const Answer& got, const Answer& whole, std::size_t from) {
  EXPECT_EQ(got.text, text_from(whole, from)) << "cut at " << from;
  const auto begin = whole.tokens.begin() + static_cast<std::ptrdiff_t>(from);
  EXPECT_EQ(got.tokens, std::vector<Token>(begin, whole.tokens.end()));
}

// Finished counts what was made before, so the recorder's own count does not fit: events are taken
// as they are.
class Rest final : public EventSink {
 public:
  void emit(ipc::FromWorker event) override {
    if (const auto* delta = std::get_if<ipc::Delta>(&event)) {
      Answer& answer = answers[delta->choice];
      answer.text += delta->text;
      answer.tokens.insert(answer.tokens.end(), delta->tokens.begin(), delta->tokens.end());
    } else if (auto* finished = std::get_if<ipc::Finished>(&event)) {
      EXPECT_FALSE(answers[finished->choice].finished);
      answers[finished->choice].finished = *finished;
    } else if (const auto* rejected = std::get_if<ipc::Rejected>(&event)) {
      refused = rejected->error;
    } else if (const auto* accepted = std::get_if<ipc::Accepted>(&event)) {
      prompt_tokens = accepted->prompt_tokens;
    }
  }
  void flush() override {}
  std::map<std::uint32_t, Answer> answers;
  std::optional<Error> refused;
  std::uint32_t prompt_tokens = 0;
};

Rest rest_of(const ipc::Submit& submit, ipc::Profile profile) {
  Rig rig(options(4, profile));
  Rest sink;
  Scheduler scheduler(
      *rig.session, rig.vocabulary(),
      [&] {
        SchedulerOptions o = options(4, profile);
        o.cells_per_stream = 2048;
        return o;
      }(),
      rig.clock, rig.board, sink);
  PreparedRequest prepared;
  prepared.prompt = *rig.text->apply_chat_template({{"user", kPrompt, ""}}, 0);
  prepared.submit = submit;
  scheduler.submit(std::move(prepared));
  for (int steps = 0; scheduler.busy() && steps < 10'000; ++steps) {
    EXPECT_TRUE(scheduler.step());
  }
  EXPECT_FALSE(scheduler.busy());
  return sink;
}

std::vector<Answer> whole_of(const ipc::Submit& submit, ipc::Profile profile) {
  Rig rig(options(4, profile));
  rig.submit(submit, kPrompt);
  rig.run();
  std::vector<Answer> answers;
  for (std::uint32_t choice = 0; choice < submit.choices; ++choice) {
    answers.push_back(rig.sink.answer(submit.id, choice));
  }
  return answers;
}

TEST(Resume, GoesOnBehindEveryToken) {
  for (const ipc::Profile profile : kProfiles) {
    for (const float temperature : {0.0F, 1.0F}) {
      ipc::Submit submit = request(1, temperature);
      submit.sampling.repetition_penalty = 1.2F;
      submit.sampling.frequency_penalty = 0.5F;
      submit.tokens_max = 60;
      const std::vector<Answer> whole = whole_of(submit, profile);
      ASSERT_GE(whole[0].tokens.size(), 50U);
      for (std::size_t at = 0; at <= whole[0].tokens.size(); ++at) {
        const Rest rest = rest_of(cut_at(submit, whole, {at}), profile);
        Answer got = rest.answers.at(0);
        expect_rest(got, whole[0], at);
        ASSERT_TRUE(got.finished) << at;
        EXPECT_EQ(got.finished->reason, whole[0].finished->reason);
        EXPECT_EQ(got.finished->completion_tokens, whole[0].tokens.size());
        EXPECT_EQ(got.finished->prompt_tokens, whole[0].finished->prompt_tokens);
        EXPECT_EQ(rest.prompt_tokens, whole[0].finished->prompt_tokens);
      }
    }
  }
}

// Text that may begin a stop string was held back: it is held back again, and nothing comes twice.
TEST(Resume, HeldBackTextAndStopStringsAreAsTheyWere) {
  ipc::Submit probe = request(1);
  probe.tokens_max = 60;
  const std::string text = whole_of(probe, ipc::Profile::kFast)[0].text;
  ASSERT_GT(text.size(), 50U);
  for (const ipc::Profile profile : kProfiles) {
    ipc::Submit submit = probe;
    submit.stop = {text.substr(40, 6), text.substr(10, 5) + "\x01"};
    const std::vector<Answer> whole = whole_of(submit, profile);
    ASSERT_EQ(whole[0].finished->reason, ipc::FinishReason::kStop);
    for (std::size_t at = 0; at <= whole[0].tokens.size(); ++at) {
      const Rest rest = rest_of(cut_at(submit, whole, {at}), profile);
      expect_rest(rest.answers.at(0), whole[0], at);
      EXPECT_EQ(rest.answers.at(0).finished->reason, ipc::FinishReason::kStop);
    }
  }
}

TEST(Resume, OfSeveralChoicesEachGoesOnFromItsOwnPlace) {
  for (const ipc::Profile profile : kProfiles) {
    ipc::Submit submit = request(1, 1.0F);
    submit.choices = 3;
    submit.tokens_max = 40;
    const std::vector<Answer> whole = whole_of(submit, profile);
    ipc::Submit resumed = cut_at(submit, whole, {5, 0, whole[2].tokens.size()});
    resumed.resume[2].ended = true;
    const Rest rest = rest_of(resumed, profile);
    expect_rest(rest.answers.at(0), whole[0], 5);
    expect_rest(rest.answers.at(1), whole[1], 0);
    EXPECT_FALSE(rest.answers.contains(2)) << "it had ended";
  }
}

// It had been taken once: a full queue is no reason to end an answer in its middle.
TEST(Resume, AFullQueueRefusesNobodyWhoHasBegun) {
  SchedulerOptions o = options(1);
  o.queue_requests_max = 1;
  Rig rig(o);
  for (ipc::RequestId id = 1; id <= 3; ++id) rig.submit(request(id), "[[long 30]]");
  EXPECT_EQ(rig.sink.rejected.size(), 1U);
  ipc::Submit resumed = request(4);
  resumed.resume = {{{}, false}};
  rig.submit(resumed, "[[long 30]]");
  EXPECT_EQ(rig.sink.rejected.size(), 1U);
  rig.run();
  EXPECT_TRUE(rig.sink.answer(4).finished);
}

TEST(Resume, WhatTheModelCannotHaveMadeIsRefused) {
  ipc::Submit submit = request(1);
  submit.resume = {{{1 << 30}, false}};
  EXPECT_TRUE(rest_of(submit, ipc::Profile::kFast).refused);
  submit.resume = {{std::vector<Token>(2048, 1), false}};
  EXPECT_TRUE(rest_of(submit, ipc::Profile::kFast).refused);
  submit.tokens_max = 2;
  submit.resume = {{{1, 1, 1}, false}};
  EXPECT_TRUE(rest_of(submit, ipc::Profile::kFast).refused) << "more than were asked for";
  submit.resume = {{{1}, true}};
  EXPECT_TRUE(rest_of(submit, ipc::Profile::kFast).refused) << "nothing is left to do";
}

// The gateway has those tokens, and takes another count for a breach of the protocol.
TEST(Resume, OneThatIsCancelledAtOnceCountsWhatItHad) {
  for (const ipc::Profile profile : kProfiles) {
    const ipc::Submit submit = request(1);
    const std::vector<Answer> whole = whole_of(submit, profile);
    Rig rig(options(4, profile));
    Rest sink;
    SchedulerOptions o = options(4, profile);
    o.cells_per_stream = 2048;
    Scheduler scheduler(*rig.session, rig.vocabulary(), o, rig.clock, rig.board, sink);
    PreparedRequest prepared;
    prepared.prompt = *rig.text->apply_chat_template({{"user", kPrompt, ""}}, 0);
    prepared.submit = cut_at(submit, whole, {10});
    scheduler.submit(std::move(prepared));
    scheduler.cancel(1);
    EXPECT_FALSE(scheduler.busy());
    ASSERT_TRUE(sink.answers[0].finished);
    EXPECT_EQ(sink.answers[0].finished->reason, ipc::FinishReason::kCancelled);
    EXPECT_EQ(sink.answers[0].finished->completion_tokens, 10U);
  }
}

}  // namespace
}  // namespace aioss::worker
