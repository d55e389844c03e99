// The gateway end to end, with the real worker process over the fake engine: what a client sees, in
// which order, and what stands in the ledger afterwards. Every test ends by verifying the ledger.
#include "runtime/gateway.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <set>
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

class GatewayTest : public ::testing::Test {
 protected:
  void start() {
    bench.add_model("m", script);
    bench.start();
  }
  void expect_good_ledger() {
    bench.expect_good_ledger();
    EXPECT_EQ(bench.count(RecordType::kModelLoad), bench.count(RecordType::kModelUnload));
  }
  std::optional<ledger::Record> find(RecordType type) {
    for (const ledger::Record& record : bench.records()) {
      if (record.type == type) return record;
    }
    return std::nullopt;
  }

  testing::TestBench bench;
  std::string script = "reply hello world\n";
};

TEST_F(GatewayTest, AnswersAndRecords) {
  start();
  const auto stream = bench.submit("m", "Hi");
  const Answered answered = read_all(*stream);
  ASSERT_TRUE(answered.done) << answered.code();
  ASSERT_EQ(answered.text.size(), 1U);
  EXPECT_EQ(answered.text[0], "hello world");
  ASSERT_TRUE(std::holds_alternative<StreamStarted>(answered.events.front()));
  EXPECT_EQ(answered.choice_ends, 1U);
  EXPECT_GT(answered.done->prompt_tokens, 0U);
  EXPECT_GT(answered.done->completion_tokens, 0U);
  EXPECT_EQ(stream->request_id().size(), 4U + 24U);
  expect_good_ledger();

  const auto request = find(RecordType::kInferRequest);
  const auto result = find(RecordType::kInferResult);
  const auto load = find(RecordType::kModelLoad);
  ASSERT_TRUE(request && result && load);
  EXPECT_EQ(request->index, answered.started->request_record);
  EXPECT_EQ(result->index, answered.done->result_record);
  EXPECT_EQ(*result->body.get_uint(key::kRefIndex, "ref"), request->index);
  EXPECT_EQ(*request->body.get_uint(key::infer_request::kModelRef, "model"), load->index);
  EXPECT_EQ(*request->body.get_uint(key::infer_request::kSeed, "seed"), stream->seed());
  EXPECT_EQ(*request->body.get_text(key::kRequestId, "id"), stream->request_id());
  // A record of the load comes before the request, the engine's before the load's.
  EXPECT_LT(find(RecordType::kEngineStart)->index, load->index);
  EXPECT_LT(load->index, request->index);
}

TEST_F(GatewayTest, NoTextReachesTheLedger) {
  script = "reply the cat is secretly grey\n";
  start();
  auto call = bench.call("m", "tell me of Schrodinger");
  call.request.stop = {"stopword"};
  auto stream = bench.gateway().submit(call);
  ASSERT_TRUE(stream);
  EXPECT_TRUE(read_all(**stream).done);
  expect_good_ledger();
  for (const ledger::Record& record : bench.records()) {
    const Bytes encoded = codec::encode(codec::Map(record.body));
    const std::string_view bytes = as_text(encoded);
    EXPECT_EQ(bytes.find("secretly"), std::string_view::npos);
    EXPECT_EQ(bytes.find("Schrodinger"), std::string_view::npos);
    EXPECT_EQ(bytes.find("stopword"), std::string_view::npos);
  }
}

TEST_F(GatewayTest, NothingIsVisibleBeforeTheRequestIsDurable) {
  script = "reply hello world\n";
  start();
  ASSERT_TRUE(bench.gateway().load("m", nullptr));
  bench.disk().hold();
  const auto stream = bench.submit("m", "Hi");
  ASSERT_TRUE(bench.disk().wait_until_held());
  // The worker computes meanwhile; it is done long before this is over.
  EXPECT_FALSE(stream->next_for(milliseconds(500)));
  bench.disk().release();
  const Answered answered = read_all(*stream);
  EXPECT_TRUE(answered.done);
  EXPECT_EQ(answered.text.at(0), "hello world");
  expect_good_ledger();
}

TEST_F(GatewayTest, TheEndIsNotVisibleBeforeTheResultIsDurable) {
  script = "reply hello world\ndelay_us_per_call 20000\n";
  start();
  ASSERT_TRUE(bench.gateway().load("m", nullptr));
  const auto stream = bench.submit("m", "Hi");
  Answered answered;
  ASSERT_TRUE(read_some_text(*stream, answered));
  bench.disk().hold();
  ASSERT_TRUE(bench.disk().wait_until_held());  // that is the result's record
  while (auto event = stream->next_for(milliseconds(300))) {
    EXPECT_TRUE(std::holds_alternative<StreamDelta>(*event)) << "an end before its record";
  }
  bench.disk().release();
  const auto end = stream->next_for(milliseconds(5000));
  ASSERT_TRUE(end && std::holds_alternative<ChoiceEnd>(*end));
  const auto done = stream->next_for(milliseconds(5000));
  ASSERT_TRUE(done && std::holds_alternative<StreamDone>(*done));
  expect_good_ledger();
}

TEST_F(GatewayTest, LedgerThatFailsBeforeTheFirstTokenShowsNothing) {
  start();
  ASSERT_TRUE(bench.gateway().load("m", nullptr));
  bench.disk().hold();
  const auto stream = bench.submit("m", "Hi");
  ASSERT_TRUE(bench.disk().wait_until_held());
  std::this_thread::sleep_for(milliseconds(200));  // the whole answer is in the gateway now
  bench.disk().fail();
  const Answered answered = read_all(*stream);
  EXPECT_EQ(answered.code(), "ledger_unavailable");
  EXPECT_EQ(answered.events.size(), 1U) << "something was shown";
  const auto refused = bench.gateway().submit(bench.call("m", "again"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kLedgerUnavailable);
  EXPECT_FALSE(bench.gateway().health().ok);
  bench.finish();
}

TEST_F(GatewayTest, LedgerThatShutsEndsRunningStreams) {
  script = "reply x\ndelay_us_per_call 5000\n";
  start();
  const auto running = bench.submit("m", "[[long 100000]]");
  const auto other = bench.submit("m", "[[long 100000]]");
  Answered answered, ignored;
  ASSERT_TRUE(read_some_text(*running, answered));
  ASSERT_TRUE(read_some_text(*other, ignored));
  bench.disk().fail();
  other->cancel();  // its INFER_ABORT is what meets the broken disk
  EXPECT_EQ(read_all(*other).code(), "ledger_unavailable");
  EXPECT_EQ(read_all(*running).code(), "ledger_unavailable");
  bench.finish();
}

TEST_F(GatewayTest, TwoRequestsShareOneLoad) {
  script = "reply hello\nload_ms 300\n";
  start();
  const auto first = bench.submit("m", "a");
  const auto second = bench.submit("m", "b");
  EXPECT_TRUE(read_all(*first).done);
  EXPECT_TRUE(read_all(*second).done);
  expect_good_ledger();
  EXPECT_EQ(bench.count(RecordType::kModelLoad), 1U);
  EXPECT_EQ(bench.count(RecordType::kInferResult), 2U);
}

TEST_F(GatewayTest, ServesSeveralChoices) {
  script = "reply hello\n";
  start();
  auto call = bench.call("m", "a");
  call.request.choices = 3;
  auto stream = bench.gateway().submit(call);
  ASSERT_TRUE(stream);
  const Answered answered = read_all(**stream);
  ASSERT_TRUE(answered.done);
  EXPECT_EQ(answered.choice_ends, 3U);
  EXPECT_EQ(answered.text, (std::vector<std::string>{"hello", "hello", "hello"}));
  expect_good_ledger();
  const auto result = find(RecordType::kInferResult);
  EXPECT_EQ((*result->body.get_array(key::infer_result::kChoices, "choices"))->size(), 3U);
}

TEST_F(GatewayTest, CancelWhileTheModelLoads) {
  script = "reply hello\nload_ms 1000\n";
  start();
  const auto stream = bench.submit("m", "a");
  ASSERT_TRUE(bench.wait_for_state("m", "loading"));
  stream->cancel();
  stream->cancel();
  const Answered answered = read_all(*stream);
  EXPECT_EQ(answered.code(), "cancelled");
  EXPECT_TRUE(answered.failed->abort_record);
  EXPECT_FALSE(answered.failed->request_record);
  expect_good_ledger();
  EXPECT_EQ(bench.count(RecordType::kInferRequest), 0U) << "it must never have started";
  EXPECT_EQ(bench.count(RecordType::kInferAbort), 1U);
}

TEST_F(GatewayTest, CancelInTheWorkersQueue) {
  bench.options.parallel = 1;
  script = "reply x\ndelay_us_per_call 5000\n";
  start();
  const auto running = bench.submit("m", "[[long 100000]]");
  Answered answered;
  ASSERT_TRUE(read_some_text(*running, answered));
  const auto queued = bench.submit("m", "b");
  const auto started = queued->next_for(milliseconds(5000));
  ASSERT_TRUE(started && std::holds_alternative<StreamStarted>(*started));
  queued->cancel();
  EXPECT_EQ(read_all(*queued).code(), "cancelled");
  running->cancel();
  EXPECT_EQ(read_all(*running).code(), "cancelled");
  expect_good_ledger();
  EXPECT_EQ(bench.count(RecordType::kInferRequest), 2U);
  EXPECT_EQ(bench.count(RecordType::kInferAbort), 2U);
}

TEST_F(GatewayTest, CancelMidStreamFreesTheWorker) {
  bench.options.parallel = 1;
  script = "reply hello\ndelay_us_per_call 5000\n";
  start();
  const auto stream = bench.submit("m", "[[long 100000]]");
  Answered answered;
  ASSERT_TRUE(read_some_text(*stream, answered));
  stream->cancel();
  const Answered rest = read_all(*stream);
  EXPECT_EQ(rest.code(), "cancelled");
  EXPECT_TRUE(rest.text.empty()) << "text after cancel()";
  EXPECT_TRUE(bench.ask("m", "b").done) << "the only stream was not freed";
  expect_good_ledger();
  const auto abort = find(RecordType::kInferAbort);
  ASSERT_TRUE(abort);
  EXPECT_EQ(*abort->body.get_text(key::infer_abort::kCause, "cause"), "cancelled");
  EXPECT_GT(*abort->body.get_uint(key::infer_abort::kTokensSoFar, "tokens"), 0U);
}

TEST_F(GatewayTest, CancelAfterTheEndChangesNothing) {
  start();
  const auto stream = bench.submit("m", "a");
  EXPECT_TRUE(read_all(*stream).done);
  stream->cancel();
  EXPECT_FALSE(stream->next_for(milliseconds(50)));
  expect_good_ledger();
  EXPECT_EQ(bench.count(RecordType::kInferAbort), 0U);
}

TEST_F(GatewayTest, WakeIsCalledWithoutLocksAndLetsGo) {
  start();
  const auto stream = bench.submit("m", "a");
  auto calls = std::make_shared<std::atomic<int>>(0);
  Stream* raw = stream.get();
  std::promise<void> ended;
  stream->set_wake([calls, raw, &ended] {
    ++*calls;
    // Reading from inside the wake-up deadlocks if a lock is held.
    while (auto event = raw->try_next()) {
      if (std::holds_alternative<StreamDone>(*event)) ended.set_value();
    }
  });
  ASSERT_EQ(ended.get_future().wait_for(std::chrono::seconds(10)), std::future_status::ready);
  EXPECT_GT(calls->load(), 0);
  for (int i = 0; i < 500 && calls.use_count() > 1; ++i) {
    std::this_thread::sleep_for(milliseconds(10));
  }
  EXPECT_EQ(calls.use_count(), 1) << "the stream keeps what the wake-up holds alive";
  expect_good_ledger();
}

TEST_F(GatewayTest, RefusesWhatCannotBe) {
  start();
  const auto unknown = bench.gateway().submit(bench.call("../m", "a"));
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, Code::kNotFound);
  EXPECT_EQ(unknown.error().field, "model");
  auto call = bench.call("m", "a");
  call.request.choices = 0;
  EXPECT_EQ(bench.gateway().submit(call).error().code, Code::kInvalidArgument);
  call = bench.call("m", "a\xff");
  EXPECT_EQ(bench.gateway().submit(call).error().code, Code::kInvalidArgument);
  call = bench.call("m", "a");
  call.request.sampling.temperature = -1;
  EXPECT_EQ(bench.gateway().submit(call).error().code, Code::kInvalidArgument);
  expect_good_ledger();
  EXPECT_EQ(bench.count(RecordType::kInferAbort), 0U);
}

TEST_F(GatewayTest, PromptOverTheContextIsRejectedWithARecord) {
  script = "reply hello\ncontext 64\n";
  start();
  const Answered answered = bench.ask("m", std::string(1000, 'x'));
  EXPECT_EQ(answered.code(), "context_length_exceeded");
  ASSERT_EQ(answered.events.size(), 1U);
  expect_good_ledger();
  ASSERT_TRUE(find(RecordType::kInferRequest) && find(RecordType::kInferAbort));
  EXPECT_EQ(answered.failed->request_record, find(RecordType::kInferRequest)->index);
  EXPECT_EQ(answered.failed->abort_record, find(RecordType::kInferAbort)->index);
  EXPECT_EQ(bench.count(RecordType::kInferAbort), 1U);
}

TEST_F(GatewayTest, SeedIsKeptOrMade) {
  start();
  auto call = bench.call("m", "a");
  call.request.sampling.seed = 42;
  call.seed_given = true;
  auto given = bench.gateway().submit(call);
  ASSERT_TRUE(given);
  EXPECT_EQ((*given)->seed(), 42U);
  call.seed_given = false;
  auto made = bench.gateway().submit(call);
  ASSERT_TRUE(made);
  EXPECT_NE((*made)->seed(), 42U);
  EXPECT_LT((*made)->seed(), std::uint64_t{1} << 63);
  EXPECT_TRUE(read_all(**given).done);
  EXPECT_TRUE(read_all(**made).done);
  expect_good_ledger();
}

TEST_F(GatewayTest, TooManyRequestsAreRefused) {
  bench.options.queue_requests_max = 1;
  bench.options.record_rate = 0;  // of one tenant
  script = "reply x\nload_ms 60000\n";
  start();
  std::vector<std::shared_ptr<Stream>> streams;
  for (int i = 0; i < 600; ++i) {
    auto stream = bench.gateway().submit(bench.call("m", "a"));
    if (!stream) {
      EXPECT_EQ(stream.error().code, Code::kBusy);
      break;
    }
    streams.push_back(*stream);
  }
  EXPECT_EQ(streams.size(), 513U);
  for (const auto& stream : streams) stream->cancel();
  for (const auto& stream : streams) EXPECT_EQ(read_all(*stream).code(), "cancelled");
  // A place comes back just after its stream's end can be read.
  bool taken = false;
  for (int i = 0; i < 500 && !taken; ++i) {
    taken = bench.gateway().submit(bench.call("m", "a")).has_value();
    if (!taken) std::this_thread::sleep_for(milliseconds(10));
  }
  EXPECT_TRUE(taken) << "places were not given back";
  expect_good_ledger();
}

TEST_F(GatewayTest, ShutDownDrainsWhatIsNearlyDone) {
  script = "reply hello world\ndelay_us_per_call 10000\n";
  start();
  const auto stream = bench.submit("m", "a");
  Answered answered;
  ASSERT_TRUE(read_some_text(*stream, answered));
  bench.gateway().shut_down(milliseconds(10'000));
  EXPECT_TRUE(read_all(*stream).done);
  EXPECT_EQ(bench.gateway().submit(bench.call("m", "a")).error().code, Code::kShuttingDown);
  expect_good_ledger();
}

TEST_F(GatewayTest, ShutDownEndsWhatIsNot) {
  script = "reply x\ndelay_us_per_call 2000\n";
  start();
  bench.add_model("slow", "reply x\nload_ms 60000\n");
  ASSERT_TRUE(bench.gateway().rescan(Principal()));
  std::vector<std::shared_ptr<Stream>> streams;
  for (int i = 0; i < 5; ++i) streams.push_back(bench.submit("m", "[[long 1000000]]"));
  streams.push_back(bench.submit("slow", "a"));
  Answered answered;
  ASSERT_TRUE(read_some_text(*streams[0], answered));
  bench.gateway().shut_down(milliseconds(50));
  for (const auto& stream : streams) {
    const Answered rest = read_all(*stream);
    EXPECT_EQ(rest.code(), "shutting_down");
    EXPECT_TRUE(rest.failed->abort_record);
  }
  expect_good_ledger();
  EXPECT_EQ(bench.count(RecordType::kInferAbort), 6U);
  EXPECT_TRUE(bench.worker_pids().empty()) << "a worker was left behind";
}

TEST_F(GatewayTest, ManyThreadsManyRequests) {
  script = "reply hello world\n";
  bench.options.parallel = 4;
  start();
  constexpr int kThreads = 8, kRequests = 25;
  std::atomic<int> done{0}, cancelled{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kRequests; ++i) {
        auto stream = bench.gateway().submit(bench.call("m", "q"));
        ASSERT_TRUE(stream) << stream.error().message;
        if ((t + i) % 5 == 0) (*stream)->cancel();
        const Answered answered = read_all(**stream, 60);
        if (answered.done) ++done;
        if (answered.failed) {
          EXPECT_EQ(answered.code(), "cancelled");
          ++cancelled;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(done + cancelled, kThreads * kRequests);
  EXPECT_GE(done.load(), kThreads * kRequests * 4 / 5);
  expect_good_ledger();
  EXPECT_EQ(bench.count(RecordType::kInferResult), static_cast<std::size_t>(done));
  EXPECT_EQ(bench.count(RecordType::kInferAbort), static_cast<std::size_t>(cancelled));
}

// ---- the wait for the first computation ---------------------------------------------------------

TEST_F(GatewayTest, WaitIsCountedOnceARequestAndIncludesTheLoad) {
  bench.options.load_timeout = std::chrono::hours(24);
  bench.options.load_wait = std::chrono::hours(24);
  start();
  bench.disk().hold();
  auto call = bench.call("m", "a");
  call.request.choices = 3;
  auto stream = bench.gateway().submit(call);
  ASSERT_TRUE(stream);
  ASSERT_TRUE(bench.disk().wait_until_held());  // that is ENGINE_START: the model still loads
  bench.clock().advance(std::chrono::hours(1));
  bench.disk().release();
  EXPECT_TRUE(read_all(**stream).done);
  const std::string page = bench.metrics().render();
  EXPECT_NE(page.find("aioss_queue_wait_seconds_count 1\n"), std::string::npos) << page;
  EXPECT_NE(page.find("aioss_queue_wait_seconds_bucket{le=\"60\"} 0\n"), std::string::npos) << page;
  expect_good_ledger();
}

TEST_F(GatewayTest, WaitIsCountedWhenTheRequestIsAdmittedNotAtItsEnd) {
  script = "reply x\ndelay_us_per_call 5000\n";
  start();
  const auto stream = bench.submit("m", "[[long 100000]]");
  Answered answered;
  ASSERT_TRUE(read_some_text(*stream, answered));
  EXPECT_NE(bench.metrics().render().find("aioss_queue_wait_seconds_count 1\n"), std::string::npos);
  stream->cancel();
  EXPECT_EQ(read_all(*stream).code(), "cancelled");
  EXPECT_NE(bench.metrics().render().find("aioss_queue_wait_seconds_count 1\n"), std::string::npos);
  expect_good_ledger();
}

TEST_F(GatewayTest, WaitIsCountedOfThoseWhoNeverRanAndOfThoseWhoQueued) {
  bench.options.parallel = 1;
  script = "reply x\ndelay_us_per_call 5000\n";
  start();
  const auto running = bench.submit("m", "[[long 100000]]");
  Answered answered;
  ASSERT_TRUE(read_some_text(*running, answered));
  const auto leaves = bench.submit("m", "b");
  const auto stays = bench.submit("m", "c");
  ASSERT_TRUE(leaves->next_for(milliseconds(5000)));
  ASSERT_TRUE(stays->next_for(milliseconds(5000)));
  leaves->cancel();
  EXPECT_EQ(read_all(*leaves).code(), "cancelled");
  EXPECT_NE(bench.metrics().render().find("aioss_queue_wait_seconds_count 2\n"), std::string::npos);
  running->cancel();
  EXPECT_EQ(read_all(*running).code(), "cancelled");
  EXPECT_TRUE(read_all(*stays).done);
  EXPECT_NE(bench.metrics().render().find("aioss_queue_wait_seconds_count 3\n"), std::string::npos);
  expect_good_ledger();
}

TEST_F(GatewayTest, RequestIdsDiffer) {
  start();
  std::set<std::string> ids;
  std::vector<std::shared_ptr<Stream>> streams;
  for (int i = 0; i < 20; ++i) {
    streams.push_back(bench.submit("m", "a"));
    ids.insert(streams.back()->request_id());
  }
  EXPECT_EQ(ids.size(), 20U);
  for (const auto& stream : streams) EXPECT_TRUE(read_all(*stream).done);
  expect_good_ledger();
}

}  // namespace
}  // namespace aioss::runtime
