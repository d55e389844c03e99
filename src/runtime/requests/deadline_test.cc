// Deadlines, wherever a request is when its own passes, and the limits of tenants: with a real
// worker.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "runtime/streams/stream_state.h"
#include "runtime/testing/test_bench.h"

namespace aioss::runtime {
namespace {

using ledger::RecordType;
using testing::Answered;
using testing::read_all;
namespace key = ledger::key;

class DeadlineTest : public ::testing::Test {
 protected:
  std::shared_ptr<Stream> submit(const std::string& prompt, std::uint64_t deadline_ms) {
    GenerateCall call = bench.call("m", prompt);
    call.request.deadline_ms = deadline_ms;
    auto stream = bench.gateway().submit(std::move(call));
    EXPECT_TRUE(stream) << stream.error().message;
    return *stream;
  }
  void expect_timed_out(const Answered& answered) {
    EXPECT_EQ(answered.code(), "timeout");
    ASSERT_TRUE(answered.failed);
    EXPECT_TRUE(answered.failed->abort_record);
    EXPECT_NE(answered.failed->error.message.find("X-Aioss-Deadline"), std::string::npos);
  }

  testing::TestBench bench;
};

TEST_F(DeadlineTest, RunningAndQueuedRequestsEndInTime) {
  bench.options.parallel = 1;
  bench.add_model("m", "reply hello\ndelay_us_per_call 2000\n");
  bench.start();
  const auto endless = submit("[[long 1900]]", 1'000);
  const auto queued = submit("[[long 1900]]", 1'000);
  expect_timed_out(read_all(*endless));
  expect_timed_out(read_all(*queued));
  const Answered after = bench.ask("m", "[[long 10]]");
  EXPECT_TRUE(after.done) << "the stream is free again";
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.texts(RecordType::kInferAbort, key::infer_abort::kCause),
            (std::vector<std::string>{"timeout", "timeout"}));
}

TEST_F(DeadlineTest, SoDoThoseThatWaitForALoad) {
  bench.add_model("m", "reply hello\nload_ms 8000\n");
  bench.start();
  expect_timed_out(read_all(*submit("q", 1'000)));
  EXPECT_EQ(bench.gateway().models().at(0).state, "loading") << "it did not wait for the load";
  bench.expect_good_ledger();
}

// An engine that hangs is given up after minutes; whoever has a deadline is told before.
TEST_F(DeadlineTest, AWorkerThatDoesNotStopIsNotWaitedFor) {
  bench.add_bad_model("m", "no_cancel");
  bench.start();
  const auto stream = submit("q", 1'000);
  Answered answered;
  ASSERT_TRUE(testing::read_some_text(*stream, answered));
  const std::vector<int> pids = bench.worker_pids();
  const std::int64_t began = bench.clock().monotonic_ns();
  expect_timed_out(read_all(*stream));
  EXPECT_LT(bench.clock().monotonic_ns() - began, 20 * kNsPerSecond);
  EXPECT_EQ(pids.size(), 1U);
  EXPECT_EQ(bench.worker_pids(), pids) << "it ended with its worker";
  bench.expect_good_ledger();
}

// Its worker is killed under it again and again before it has a token, and so it runs alone: also
// once it has ended, for its worker still computes it.
TEST_F(DeadlineTest, ASuspectStaysAloneUntilItsWorkerLetsGoOfIt) {
  bench.add_bad_model("m", "mute");
  bench.start();
  const auto suspect = submit("q", 8'000);
  std::vector<int> pids;
  for (std::uint32_t i = 0; i <= kKillsOfASuspect; ++i) {
    ASSERT_TRUE(testing::comes_true([&] {
      const std::vector<int> now = bench.worker_pids();
      return !now.empty() && now != pids && bench.entry("m").state == "ready";
    }));
    pids = bench.worker_pids();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));  // until it has the request
    if (i < kKillsOfASuspect) bench.kill_workers();
  }
  const auto other = submit("r", 0);
  expect_timed_out(read_all(*suspect));
  EXPECT_FALSE(other->next_for(std::chrono::milliseconds(1500))) << "it was begun beside it";
  EXPECT_EQ(bench.worker_pids(), pids);
  bench.kill_workers();
  EXPECT_TRUE(other->next_for(std::chrono::seconds(20))) << "it is never begun";
  other->cancel();
  bench.kill_workers();
  (void)read_all(*other);
  bench.expect_good_ledger();
}

TEST_F(DeadlineTest, WhoEndsBeforeIsNotTouched) {
  bench.add_model("m", "reply hello\n");
  bench.start();
  EXPECT_TRUE(read_all(*submit("q", 60'000)).done);
  bench.clock().advance(std::chrono::minutes(2));
  EXPECT_TRUE(bench.ask("m", "q").done);
  bench.expect_good_ledger();
  EXPECT_EQ(bench.count(RecordType::kInferAbort), 0U);
}

TEST_F(DeadlineTest, TenantsHaveLimitsOfTheirOwn) {
  bench.options.parallel = 1;
  bench.add_model("m", "reply hello\ndelay_us_per_call 2000\n");
  bench.start();
  const auto call_of = [&](const std::string& tenant, const std::string& prompt) {
    GenerateCall call = bench.call("m", prompt);
    call.principal.tenant = tenant;
    call.principal.limits = {200, 2, 40, 64};
    return call;
  };
  const auto first = bench.gateway().submit(call_of("ward-3", "[[long 50]]"));
  const auto second = bench.gateway().submit(call_of("ward-3", "[[long 50]]"));
  ASSERT_TRUE(first && second);
  const auto third = bench.gateway().submit(call_of("ward-3", "[[long 50]]"));
  ASSERT_FALSE(third);
  EXPECT_EQ(third.error().code, Code::kBusy);
  ASSERT_TRUE(third.error().backlog);
  EXPECT_EQ(third.error().backlog->position, 2U);
  const auto other = bench.gateway().submit(call_of("it", "q"));
  ASSERT_TRUE(other) << "each has its own";
  const auto bytes = bench.gateway().submit(call_of("law", std::string(65, 'x')));
  ASSERT_FALSE(bytes);
  EXPECT_EQ(bytes.error().code, Code::kTooLarge);
  EXPECT_NE(bytes.error().message.find("65 bytes and your tenant may send 64"), std::string::npos);
  const auto tokens = bench.gateway().submit(call_of("law", std::string(50, 'x')));
  ASSERT_TRUE(tokens);
  const Answered refused = read_all(**tokens);
  EXPECT_EQ(refused.code(), "too_large");
  EXPECT_NE(refused.failed->error.message.find("your tenant may send 40"), std::string::npos);
  for (const auto& stream : {*first, *second, *other}) EXPECT_TRUE(read_all(*stream).done);
  EXPECT_TRUE(read_all(**bench.gateway().submit(call_of("ward-3", "q"))).done) << "room again";
  bench.expect_good_ledger();
}

TEST_F(DeadlineTest, TheQueueIsShownWithItsTenants) {
  bench.options.parallel = 1;
  bench.add_model("m", "reply hello\ndelay_us_per_call 40000\n");
  bench.start();
  std::vector<std::shared_ptr<Stream>> streams;
  for (int i = 0; i < 4; ++i) {  // of answers that fit their credit: nobody reads
    GenerateCall call = bench.call("m", "[[long 100]]");
    call.principal.tenant = i == 0 ? "it" : "ward-3";
    if (i == 3) call.request.priority = ipc::Priority::kBatch;
    streams.push_back(*bench.gateway().submit(std::move(call)));
  }
  ModelLoad load;
  for (int i = 0; i < 600 && load.decode_step_ns == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    const auto loads = bench.gateway().queue();
    if (!loads.empty()) load = loads.front();
  }
  EXPECT_EQ(load.name, "m");
  EXPECT_EQ(load.state, "ready");
  EXPECT_EQ(load.streams, 1U);
  EXPECT_EQ(load.running, 1U);
  EXPECT_EQ(load.waiting_interactive, 2U);
  EXPECT_EQ(load.waiting_batch, 1U);
  EXPECT_GT(load.tokens_per_second, 0);
  EXPECT_GT(load.memory_bytes, 0U);
  EXPECT_GT(load.decode_step_ns, 0U);
  ASSERT_EQ(load.tenants.size(), 2U);
  EXPECT_EQ(load.tenants[0].name, "ward-3");
  EXPECT_EQ(load.tenants[0].waiting, 3U);
  EXPECT_EQ(load.tenants[1].name, "it");
  EXPECT_EQ(load.tenants[1].running, 1U);
  for (const auto& stream : streams) stream->cancel();
  for (const auto& stream : streams) (void)read_all(*stream);
  bench.expect_good_ledger();
}

}  // namespace
}  // namespace aioss::runtime
