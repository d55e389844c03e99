// One kept answer without sockets: how long it waits for its readers, and what it lets go.
#include "server/kept_answer.h"

#include <gtest/gtest.h>

#include "server/http_metrics.h"
#include "server/test_support.h"

namespace aioss::server {
namespace {

constexpr std::int64_t kPatienceMs = 600'000;
constexpr std::int64_t kReadingMs = 120'000;

class KeptAnswerTest : public ::testing::Test {
 protected:
  KeptAnswerTest() {
    KeptAnswer::Setup setup{io,
                            clock,
                            stream,
                            api::openai::AnswerFacts(),
                            AnswerMeter(http_metrics, clock),
                            {},
                            runtime::Principal(),
                            std::chrono::seconds(kPatienceMs / 1000),
                            nullptr};
    setup.facts.request_id = stream->request_id();
    setup.meter.asks_for("smol", 1);
    answer = KeptAnswer::create(std::move(setup));
    push(test::started());
  }
  void push(runtime::StreamEvent event) {
    stream->push(std::move(event));
    io.restart();
    io.poll();
  }
  void fill() {
    for (std::size_t bytes = 0; bytes < 4 * kRingBytesMax; bytes += 4096)
      push(test::text(std::string(4096, 'x')));
  }
  KeptAnswer::Reader attach(std::uint64_t after) {
    return answer->attach(after, http::AsyncEvent::create(io));
  }
  // Comes, takes so many writes of what there is, and leaves.
  void visit(std::uint64_t after, int takes) {
    const KeptAnswer::Reader reader = attach(after);
    for (int i = 0; i < takes; ++i) answer->take();
    answer->detach(reader, false);
  }
  void pass(std::int64_t ms) { clock.advance_ms(ms); }

  http::net::io_context io;
  test::StillClock clock;
  MetricRegistry registry;
  HttpMetrics http_metrics{registry};
  std::shared_ptr<test::ScriptedStream> stream = std::make_shared<test::ScriptedStream>();
  std::shared_ptr<KeptAnswer> answer;
};

TEST_F(KeptAnswerTest, WhoTakesNothingNewRenewsNothing) {
  fill();
  visit(0, 3);
  pass(kPatienceMs - 1);
  visit(0, 3);  // what it had already
  EXPECT_FALSE(answer->is_overdue());
  pass(1);
  EXPECT_TRUE(answer->is_overdue());
}

TEST_F(KeptAnswerTest, WhoTakesSomethingNewRenewsIt) {
  fill();
  visit(0, 3);
  pass(kPatienceMs - 1);
  visit(0, 4);
  pass(kPatienceMs - 1);
  EXPECT_FALSE(answer->is_overdue());
  pass(1);
  EXPECT_TRUE(answer->is_overdue());
}

// A number that was never sent is no progress.
TEST_F(KeptAnswerTest, WhoOnlySaysToHaveMoreRenewsNothing) {
  fill();
  visit(0, 3);
  pass(kPatienceMs - 1);
  visit(50, 0);
  pass(1);
  EXPECT_TRUE(answer->is_overdue());
}

TEST_F(KeptAnswerTest, WhoHasAllOfASlowStreamRenewsIt) {
  visit(0, 1);
  pass(kPatienceMs - 1);
  visit(0, 1);
  pass(kPatienceMs - 1);
  EXPECT_FALSE(answer->is_overdue());
}

TEST_F(KeptAnswerTest, PatienceCountsFromWhenAReaderLeft) {
  const KeptAnswer::Reader reader = attach(0);
  answer->take();
  pass(10 * kPatienceMs);
  EXPECT_FALSE(answer->is_overdue()) << "it reads";
  push(test::text("more"));
  answer->detach(reader, false);
  EXPECT_FALSE(answer->is_overdue());
  pass(kPatienceMs);
  EXPECT_TRUE(answer->is_overdue());
}

// It took something, then nothing, until its connection was given up.
TEST_F(KeptAnswerTest, WhoLeavesAFullRingWasNotReading) {
  fill();
  const KeptAnswer::Reader reader = attach(0);
  answer->take();
  pass(kPatienceMs);
  answer->detach(reader, false);
  EXPECT_TRUE(answer->is_overdue());
}

// By two connections that replace each other, or by one that takes a byte now and then.
TEST_F(KeptAnswerTest, ReadersWhoDoNotReadKeepNoStream) {
  fill();
  const std::int64_t step = (kPatienceMs + kReadingMs) / 8;
  for (int i = 0; i < 8; ++i) {
    attach(0);
    if (i == 0) answer->take();
    EXPECT_FALSE(answer->is_overdue()) << i;
    pass(step);
  }
  EXPECT_TRUE(answer->is_overdue());
  answer->take();
  EXPECT_TRUE(answer->is_overdue()) << "it had that";
}

TEST_F(KeptAnswerTest, AReaderWhoReadsIsNotOverdue) {
  fill();
  attach(0);
  for (int i = 0; i < 100; ++i) {
    pass(kPatienceMs);
    answer->take();
    EXPECT_FALSE(answer->is_overdue()) << i;
  }
}

// Whoever reads an answer that has ended holds no stream.
TEST_F(KeptAnswerTest, WhatHasEndedLetsItsStreamGo) {
  EXPECT_EQ(stream.use_count(), 2);
  push(test::stop());
  push(test::done());
  EXPECT_TRUE(answer->ended());
  EXPECT_EQ(stream.use_count(), 1);
  attach(0);
  EXPECT_NE(answer->take().find("[DONE]"), std::string::npos);
  answer.reset();
  EXPECT_FALSE(stream->cancelled());
}

TEST_F(KeptAnswerTest, WhatIsGivenUpLetsItsStreamGo) {
  answer->give_up(Error(Code::kTimeout, "too slow"));
  EXPECT_EQ(stream.use_count(), 1);
  EXPECT_EQ(stream->given_up.load(), Code::kTimeout);
  answer->give_up(Error(Code::kCancelled, "again"));
  EXPECT_EQ(stream->given_up.load(), Code::kTimeout);
}

}  // namespace
}  // namespace aioss::server
