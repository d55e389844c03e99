// A client that leaves frees what it had, wherever its request is, and the record says why: waiting
// for a load, in the worker's queue, in the prefill, among the tokens. The worker of these is a
// real process; that it takes one step is tested in worker/scheduler_test.cc.
#include <gtest/gtest.h>

#include <thread>

#include "runtime/testing/test_bench.h"

namespace aioss::runtime {
namespace {

using ledger::RecordType;
using std::chrono::milliseconds;
using testing::Answered;
using testing::read_all;
using testing::read_some_text;
namespace key = ledger::key;

class CancelTest : public ::testing::Test {
 protected:
  void start(const std::string& script) {
    bench.options.parallel = 1;
    bench.add_model("m", script);
    bench.start();
  }
  static void await_start(Stream& stream) {
    const auto started = stream.next_for(milliseconds(20000));
    ASSERT_TRUE(started && std::holds_alternative<StreamStarted>(*started));
  }
  // Every end that is no answer was a cancel. Their tokens, in the order of the records; nothing
  // for one that never reached a worker.
  std::vector<std::optional<std::uint64_t>> aborted_tokens() {
    bench.expect_good_ledger_and_loads();
    std::vector<std::optional<std::uint64_t>> tokens;
    for (const ledger::Record& record : bench.records()) {
      if (record.type != RecordType::kInferAbort) continue;
      EXPECT_EQ(*record.body.get_text(key::infer_abort::kCause, "cause"), "cancelled");
      const auto count = record.body.get_uint(key::infer_abort::kTokensSoFar, "tokens");
      tokens.push_back(count ? std::optional<std::uint64_t>(*count) : std::nullopt);
    }
    return tokens;
  }

  testing::TestBench bench;
};

TEST_F(CancelTest, WhileTheModelLoads) {
  start("reply hello\nload_ms 600\n");
  const auto stream = bench.submit("m", "a");
  ASSERT_TRUE(bench.wait_for_state("m", "loading"));
  stream->cancel();
  EXPECT_EQ(read_all(*stream).code(), "cancelled");
  EXPECT_TRUE(bench.ask("m", "b").done);
  EXPECT_EQ(aborted_tokens(), (std::vector<std::optional<std::uint64_t>>{std::nullopt}));
}

TEST_F(CancelTest, InTheWorkersQueue) {
  start("reply x\ndelay_us_per_call 3000\n");
  const auto running = bench.submit("m", "[[long 100000]]");
  Answered answered;
  ASSERT_TRUE(read_some_text(*running, answered));
  const auto queued = bench.submit("m", "b");
  await_start(*queued);
  queued->cancel();
  EXPECT_EQ(read_all(*queued).code(), "cancelled") << "before the one that runs has ended";
  running->cancel();
  EXPECT_EQ(read_all(*running).code(), "cancelled");
  const auto tokens = aborted_tokens();
  ASSERT_EQ(tokens.size(), 2U);
  EXPECT_EQ(tokens[0], std::uint64_t{0});
}

// The call would take ten minutes: only the abort flag, in the middle of it, can end it.
TEST_F(CancelTest, InThePrefill) {
  start("reply hello\n");
  EXPECT_TRUE(bench.ask("m", "warm").done);
  const auto stream = bench.submit("m", "[[stall 600000]] " + std::string(900, 'x'));
  await_start(*stream);
  std::this_thread::sleep_for(milliseconds(50));  // into the stall; without it the test is weaker
  stream->cancel();
  EXPECT_EQ(read_all(*stream).code(), "cancelled");
  EXPECT_TRUE(bench.ask("m", "b").done) << "the only stream was not freed";
  EXPECT_EQ(aborted_tokens(), (std::vector<std::optional<std::uint64_t>>{0}));
}

// Streamed or collected makes no difference here: it is one consumer who leaves.
TEST_F(CancelTest, AmongTheTokens) {
  for (const bool streaming : {true, false}) {
    testing::TestBench own;
    own.options.parallel = 1;
    own.add_model("m", "reply hello\ndelay_us_per_call 3000\n");
    own.start();
    GenerateCall call = own.call("m", "[[long 100000]]");
    call.streaming = streaming;
    const auto stream = own.gateway().submit(std::move(call));
    ASSERT_TRUE(stream);
    Answered answered;
    ASSERT_TRUE(read_some_text(**stream, answered));
    (*stream)->cancel();
    EXPECT_EQ(read_all(**stream).code(), "cancelled");
    EXPECT_TRUE(own.ask("m", "b").done) << "the only stream was not freed";
    own.expect_good_ledger_and_loads();
    EXPECT_EQ(own.texts(RecordType::kInferAbort, key::infer_abort::kCause),
              std::vector<std::string>{"cancelled"});
  }
}

}  // namespace
}  // namespace aioss::runtime
