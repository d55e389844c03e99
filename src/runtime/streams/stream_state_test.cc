// One stream by itself: what it does with a worker's words, without a worker.
#include "runtime/streams/stream_state.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ipc/limits.h"
#include "runtime/testing/test_bench.h"

namespace aioss::runtime {
namespace {

// Deltas that fit into one answer.
constexpr std::uint32_t kWhole = kOutputBytesMax / ipc::kDeltaTextBytesMax;

class CountingHost final : public StreamHost {
 public:
  void stop_worker(ipc::RequestId) override { ++stops; }
  void drained(const StreamState&) override { ++drains; }
  void waited(std::int64_t) override {}
  void refused(const StreamState&, Code) override {}
  void ended(const StreamState&, StreamOutcome outcome) override { outcomes.push_back(outcome); }

  std::atomic<int> stops{0}, drains{0};
  std::vector<StreamOutcome> outcomes;  // by the ledger's thread
};

class StreamStateTest : public ::testing::Test {
 protected:
  void SetUp() override {
    bench.start();
    custodian = std::make_unique<Custodian>(bench.custody(), 4);
  }
  // Begun, accepted and visible.
  std::shared_ptr<StreamState> running(std::uint32_t choices) {
    StreamSetup setup;
    setup.call = bench.call("m", "q");
    setup.call.request.id = 1;
    setup.call.request.choices = choices;
    setup.request_id = "req_1";
    auto stream = std::make_shared<StreamState>(std::move(setup), bench.ledger(), *custodian,
                                                bench.clock(), host);
    auto subject = bench.custody().obtain({"local", "local"});
    EXPECT_TRUE(subject);
    stream->belongs_to(std::move(*subject));
    EXPECT_TRUE(stream->begin({1, 1024}));
    EXPECT_TRUE(stream->accepted({1, 3, 0}));
    const auto first = stream->next_for(std::chrono::seconds(20));
    EXPECT_TRUE(first && std::holds_alternative<StreamStarted>(*first));
    return stream;
  }
  static ipc::Delta delta(std::uint32_t choice, std::size_t bytes) {
    ipc::Delta message;
    message.id = 1;
    message.choice = choice;
    message.text = std::string(bytes, 'x');
    message.tokens = {1};
    return message;
  }
  static ipc::Finished finished(std::uint32_t choice, std::uint32_t tokens,
                                ipc::FinishReason reason) {
    return {1, choice, reason, 3, tokens, {}, std::nullopt};
  }

  testing::TestBench bench;
  const std::shared_ptr<CountingHost> host = std::make_shared<CountingHost>();
  std::unique_ptr<Custodian> custodian;
};

TEST_F(StreamStateTest, MoreTextThanIsKeptEndsTheRequestAndNotTheWorker) {
  const auto stream = running(2);
  for (std::uint32_t i = 0; i < kWhole; ++i) {
    ASSERT_TRUE(stream->delta(delta(i % 2, ipc::kDeltaTextBytesMax))) << i;
    ASSERT_TRUE(stream->try_next());
  }
  EXPECT_EQ(host->stops, 0);
  EXPECT_TRUE(stream->delta(delta(0, 1)));
  EXPECT_EQ(host->stops, 1);
  // It has not heard yet that it should stop.
  EXPECT_TRUE(stream->delta(delta(1, ipc::kDeltaTextBytesMax)));
  EXPECT_EQ(host->stops, 1);
  EXPECT_FALSE(stream->try_next());
  const auto first = stream->finished(finished(0, kWhole / 2 + 1, ipc::FinishReason::kCancelled));
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_FALSE(*first);
  const auto last = stream->finished(finished(1, kWhole / 2 + 1, ipc::FinishReason::kCancelled));
  ASSERT_TRUE(last) << last.error().message;
  EXPECT_TRUE(*last);
  const testing::Answered rest = testing::read_all(*stream);
  ASSERT_TRUE(rest.failed);
  EXPECT_EQ(rest.code(), "too_large");
  EXPECT_NE(rest.failed->error.message.find("32 MiB"), std::string::npos);
  EXPECT_TRUE(rest.failed->abort_record);
  custodian.reset();
  bench.expect_good_ledger();
  EXPECT_EQ(bench.count(ledger::RecordType::kInferAbort), 1U);
  EXPECT_EQ(host->outcomes, std::vector<StreamOutcome>{StreamOutcome::kFailed});
}

// What is read is given back in steps, and one announcement is out at a time.
TEST_F(StreamStateTest, WhatIsReadComesBackAsCredit) {
  const auto stream = running(1);
  const std::uint64_t each = ipc::cost_of(delta(0, 100));
  const std::uint64_t step = (kCreditStepBytes + each - 1) / each;  // deltas of a step
  for (std::uint64_t i = 0; i < 2 * step; ++i) ASSERT_TRUE(stream->delta(delta(0, 100)));
  EXPECT_EQ(host->drains, 0) << "nothing was read";
  // A consumer that is behind gets them as one event: the same credit.
  ASSERT_TRUE(stream->try_next());
  EXPECT_EQ(host->drains, 1);
  EXPECT_EQ(stream->take_credit(), 2 * step * each);
  EXPECT_EQ(stream->take_credit(), 0U);
  for (std::uint64_t i = 0; i + 1 < step; ++i) {
    ASSERT_TRUE(stream->delta(delta(0, 100)));
    ASSERT_TRUE(stream->try_next());
  }
  EXPECT_EQ(host->drains, 1) << "less than a step";
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(stream->delta(delta(0, 100)));
    ASSERT_TRUE(stream->try_next());
  }
  EXPECT_EQ(host->drains, 2) << "announced already";
  EXPECT_EQ(stream->take_credit(), (step + 4) * each);
}

TEST_F(StreamStateTest, GoesOnWithAnotherWorkerFromWhereItWas) {
  const auto stream = running(2);
  ASSERT_TRUE(stream->delta(delta(0, 100)));
  ASSERT_TRUE(stream->delta(delta(1, 100)));
  ASSERT_TRUE(stream->finished(finished(1, 1, ipc::FinishReason::kStop)));
  ASSERT_TRUE(stream->interrupted());
  const ipc::Submit next = stream->next_request();
  EXPECT_EQ(next.resume, (std::vector<ipc::ResumedChoice>{{{1}, false}, {{1}, true}}));
  EXPECT_EQ(next.credit_bytes, kCreditBytes - 2 * ipc::cost_of(delta(0, 100)));
  EXPECT_FALSE(stream->delta(delta(0, 1))) << "the next one has to accept it first";
  EXPECT_FALSE(stream->accepted({1, 4, 0})) << "of three prompt tokens";
  EXPECT_TRUE(stream->accepted({1, 3, 0}));
  ASSERT_TRUE(stream->delta(delta(0, 1)));
  const auto last = stream->finished(finished(0, 2, ipc::FinishReason::kStop));
  ASSERT_TRUE(last && *last);
  const testing::Answered rest = testing::read_all(*stream);
  EXPECT_TRUE(rest.done);
  custodian.reset();
  bench.expect_good_ledger();
}

TEST_F(StreamStateTest, AloneIsHowTheCauseIsFound) {
  const auto stream = running(1);
  EXPECT_FALSE(stream->worker_ended(true, false));
  EXPECT_FALSE(stream->is_suspect());
  EXPECT_FALSE(stream->worker_ended(true, true));
  EXPECT_TRUE(stream->is_suspect());
  EXPECT_FALSE(stream->worker_ended(true, false)) << "somebody was with it";
  EXPECT_TRUE(stream->worker_ended(true, true));
  // Kills by others count only while nothing comes between them.
  const auto patient = running(1);
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(patient->delta(delta(0, 1)));
    EXPECT_FALSE(patient->worker_ended(false, true)) << i;
  }
  EXPECT_FALSE(patient->is_suspect());
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(patient->worker_ended(false, true));
  EXPECT_TRUE(patient->is_suspect());
  EXPECT_TRUE(patient->worker_ended(false, true));
  // Nor does one that waited behind others, and was then unlucky.
  const auto queued = running(1);
  for (std::uint32_t i = 0; i < kKillsOfASuspect; ++i) (void)queued->worker_ended(false, false);
  EXPECT_TRUE(queued->is_suspect());
  EXPECT_FALSE(queued->worker_ended(false, true));
  EXPECT_FALSE(queued->worker_ended(false, true));
  EXPECT_TRUE(queued->worker_ended(false, true)) << "the third that had it alone";
  for (const auto& one : {stream, patient, queued})
    one->abort({Code::kWorkerDied, "the test ends"});
}

// What a worker let go at the end of a choice, and died before it said that end.
TEST_F(StreamStateTest, TextThatTwoWorkersSayIsShownOnce) {
  for (const bool another_way : {false, true}) {
    const auto stream = running(1);
    const auto say = [&](const std::string& text, std::size_t tokens) {
      ipc::Delta message = delta(0, 0);
      message.text = text;
      message.tokens.assign(tokens, 1);
      ASSERT_TRUE(stream->delta(message));
    };
    say("one ", 1);
    say("", 1);     // held back
    say("STO", 0);  // let go, for this was the end
    for (int deaths = 0; deaths < 2; ++deaths) {
      ASSERT_TRUE(stream->interrupted());
      EXPECT_EQ(stream->next_request().resume.at(0).tokens.size(), 2U);
      ASSERT_TRUE(stream->accepted({1, 3, 0}));
      if (deaths == 0) say("ST", 0);  // not all of it, and dies again
    }
    if (another_way)
      say("STO, no: goes on", 1);
    else
      say("STO", 0);
    ASSERT_TRUE(stream->finished(finished(0, another_way ? 3 : 2, ipc::FinishReason::kStop)));
    const testing::Answered answered = testing::read_all(*stream);
    ASSERT_TRUE(answered.done);
    EXPECT_EQ(answered.text.at(0), another_way ? "one STO, no: goes on" : "one STO");
  }
}

TEST_F(StreamStateTest, TimesOfAResumedAnswerAreThoseOfAllItsWorkers) {
  const auto stream = running(1);
  bench.clock().advance(std::chrono::seconds(3));
  ASSERT_TRUE(stream->delta(delta(0, 1)));
  bench.clock().advance(std::chrono::seconds(5));
  ASSERT_TRUE(stream->interrupted());
  ASSERT_TRUE(stream->accepted({1, 3, 0}));
  ASSERT_TRUE(stream->delta(delta(0, 1)));
  ASSERT_TRUE(stream->finished(finished(0, 2, ipc::FinishReason::kStop)));
  const testing::Answered answered = testing::read_all(*stream);
  ASSERT_TRUE(answered.done);
  for (const StreamEvent& event : answered.events) {
    const auto* end = std::get_if<ChoiceEnd>(&event);
    if (end == nullptr) continue;
    EXPECT_GE(end->timings.prefill_ns, 3'000'000'000U);
    EXPECT_GE(end->timings.decode_ns, 5'000'000'000U);
    EXPECT_LT(end->timings.queue_ns, 3'000'000'000U);
  }
  EXPECT_EQ(answered.choice_ends, 1U);
}

TEST_F(StreamStateTest, WhyAClientIsGivenUpIsWhatIsRecorded) {
  const auto stream = running(1);
  ASSERT_TRUE(stream->delta(delta(0, 10)));
  stream->give_up({Code::kTimeout, "the client did not read its answer"});
  stream->cancel();  // too late to be the reason
  EXPECT_EQ(host->stops, 1);
  ASSERT_TRUE(stream->finished(finished(0, 1, ipc::FinishReason::kCancelled)));
  const testing::Answered rest = testing::read_all(*stream);
  ASSERT_TRUE(rest.failed);
  EXPECT_EQ(rest.code(), "timeout");
  custodian.reset();
  bench.expect_good_ledger();
  EXPECT_EQ(bench.count(ledger::RecordType::kInferAbort), 1U);
}

TEST_F(StreamStateTest, ExactlyAsMuchTextAsIsKeptIsAnAnswer) {
  const auto stream = running(1);
  for (std::uint32_t i = 0; i < kWhole; ++i) {
    ASSERT_TRUE(stream->delta(delta(0, ipc::kDeltaTextBytesMax))) << i;
    ASSERT_TRUE(stream->try_next());
  }
  ASSERT_TRUE(stream->finished(finished(0, kWhole, ipc::FinishReason::kStop)));
  EXPECT_TRUE(testing::read_all(*stream).done);
  custodian.reset();
  bench.expect_good_ledger();
}

// Its engine failed over one choice, and the worker ended before the others had.
TEST_F(StreamStateTest, WhatTheEngineSaidIsTheReasonAlsoIfTheWorkerIsLost) {
  const auto stream = running(2);
  ASSERT_TRUE(stream->finished(finished(0, 0, ipc::FinishReason::kError)));
  EXPECT_FALSE(stream->interrupted());
  stream->abort({Code::kWorkerDied, "it is gone"});
  EXPECT_EQ(testing::read_all(*stream).code(), "engine_failed");
  custodian.reset();
  bench.expect_good_ledger();
}

// The desk no longer counts it, while a slow client may read on for long.
TEST(StreamPrompt, IsGoneOnceItsStreamHasEnded) {
  testing::TestBench bench;
  bench.add_model("m", "reply hello\n");
  bench.start();
  const auto stream = std::dynamic_pointer_cast<StreamState>(bench.submit("m", "q"));
  ASSERT_NE(stream, nullptr);
  EXPECT_TRUE(testing::read_all(*stream).done);
  bench.finish();
  EXPECT_EQ(stream->request().prompt, ipc::Prompt(std::string()));
}

}  // namespace
}  // namespace aioss::runtime
