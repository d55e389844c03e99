// Streams outlive their workers: real processes, really killed.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <csignal>
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

class SurvivalTest : public ::testing::Test {
 protected:
  testing::TestBench bench;
};

TEST_F(SurvivalTest, StreamsGoOnWhenTheirWorkerIsKilled) {
  bench.add_model("m", "reply hello\ndelay_us_per_call 2000\n");
  bench.start();
  const std::string whole = bench.ask("m", "[[long 400]]").text.at(0);
  const auto first = bench.submit("m", "[[long 400]]");
  const auto second = bench.submit("m", "[[long 400]]");
  Answered a, b;
  ASSERT_TRUE(read_some_text(*first, a));
  ASSERT_TRUE(read_some_text(*second, b));
  const std::vector<int> pids = bench.worker_pids();
  ASSERT_EQ(pids.size(), 1U);
  ASSERT_EQ(::kill(pids.front(), SIGKILL), 0);
  for (const auto& [stream, begun] : {std::pair(first, a), std::pair(second, b)}) {
    const Answered rest = read_all(*stream);
    ASSERT_TRUE(rest.done) << rest.code();
    EXPECT_EQ(begun.text.at(0) + rest.text.at(0), whole);
    EXPECT_EQ(rest.done->completion_tokens, whole.size());
  }
  EXPECT_NE(bench.metrics().render().find("aioss_worker_restarts_total 1"), std::string::npos);
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.count(RecordType::kInferAbort), 0U);
  EXPECT_EQ(bench.count(RecordType::kInferResult), 3U);
  EXPECT_EQ(bench.texts(RecordType::kDecision, key::decision::kReason),
            std::vector<std::string>{"worker_died"});
  const auto unloads = bench.texts(RecordType::kModelUnload, key::model_unload::kReason);
  ASSERT_EQ(unloads.size(), 2U);
  EXPECT_EQ(unloads[0], "worker_died: signal 9 (Killed)");
  EXPECT_EQ(unloads[1], "shutdown");
  EXPECT_EQ(bench.count(RecordType::kEngineStart), 1U) << "the engine is the same";
}

// Kills from outside count against nobody, however many there are.
TEST_F(SurvivalTest, ManyKillsLoseAndDoubleNothing) {
  bench.add_model("m", "reply hello\ndelay_us_per_call 300\n");
  bench.start();
  const std::string whole = bench.ask("m", "[[long 1500]]").text.at(0);
  std::vector<std::shared_ptr<Stream>> streams;
  for (int i = 0; i < 8; ++i) streams.push_back(bench.submit("m", "[[long 1500]]"));
  std::atomic<bool> stop{false};
  std::atomic<int> kills{0};
  std::thread killer([&] {
    while (!stop && kills < 20) {
      std::this_thread::sleep_for(milliseconds(100));
      kills += bench.kill_workers();
    }
  });
  for (const auto& stream : streams) {
    const Answered answered = read_all(*stream);
    ASSERT_TRUE(answered.done) << answered.code();
    EXPECT_EQ(answered.text.at(0), whole);
  }
  stop = true;
  killer.join();
  EXPECT_GT(kills, 1);
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.count(RecordType::kInferAbort), 0U);
}

// A request that crashes the engine is found by running the suspects alone; the others are
// answered.
TEST_F(SurvivalTest, OneThatCrashesItsWorkersTakesNobodyWithIt) {
  bench.options.parallel = 4;
  bench.add_model("m", "reply hello\ndelay_us_per_call 1000\n");
  bench.start();
  const std::string whole = bench.ask("m", "[[long 100]]").text.at(0);
  std::vector<std::shared_ptr<Stream>> good;
  for (int i = 0; i < 3; ++i) good.push_back(bench.submit("m", "[[long 100]]"));
  const auto bad = bench.submit("m", "[[crash 3]]");
  const Answered crashed = read_all(*bad);
  EXPECT_EQ(crashed.code(), "worker_died");
  EXPECT_NE(crashed.failed->error.message.find("is not tried again"), std::string::npos);
  for (const auto& stream : good) {
    const Answered answered = read_all(*stream);
    ASSERT_TRUE(answered.done) << answered.code();
    EXPECT_EQ(answered.text.at(0), whole);
  }
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.count(RecordType::kInferAbort), 1U);
}

// What ended every worker once costs none when it is sent again: neither a load, if none is loaded,
// nor the worker that serves others.
TEST_F(SurvivalTest, APoisonRequestIsQuarantined) {
  bench.add_model("m", "reply hello\n");
  bench.start();
  EXPECT_EQ(bench.ask("m", "[[crash 3]]").code(), "worker_died");
  const Answered again = bench.ask("m", "[[crash 3]]");
  EXPECT_EQ(again.code(), "forbidden");
  EXPECT_FALSE(again.failed->request_record) << "it never reached a worker";
  EXPECT_TRUE(again.failed->abort_record);
  EXPECT_NE(again.failed->error.message.find("quarantined"), std::string::npos);
  EXPECT_TRUE(bench.wait_for_no_workers()) << "no load for it";
  EXPECT_TRUE(bench.ask("m", "[[long 10]]").done);
  const std::vector<int> pids = bench.worker_pids();
  ASSERT_EQ(pids.size(), 1U);
  EXPECT_EQ(bench.ask("m", "[[crash 3]]").code(), "forbidden");
  EXPECT_TRUE(bench.ask("m", "[[long 10]]").done);
  EXPECT_EQ(bench.worker_pids(), pids);
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.count(RecordType::kModelLoad), 4U);
  EXPECT_EQ(bench.texts(RecordType::kInferAbort, key::infer_abort::kCause),
            (std::vector<std::string>{"worker_died", "forbidden", "forbidden"}));
  const auto reasons = bench.texts(RecordType::kDecision, key::decision::kReason);
  EXPECT_NE(std::find(reasons.begin(), reasons.end(), "quarantined"), reasons.end());
}

// Of two that are the same, the second is not tried alone when the first was proven.
TEST_F(SurvivalTest, TheSameRequestBesideItIsQuarantinedToo) {
  bench.options.parallel = 4;
  bench.add_model("m", "reply hello\ndelay_us_per_call 1000\n");
  bench.start();
  ASSERT_TRUE(bench.ask("m", "[[long 10]]").done);
  const auto first = bench.submit("m", "[[crash 3]]");
  const auto second = bench.submit("m", "[[crash 3]]");
  std::vector<std::string> codes{read_all(*first).code(), read_all(*second).code()};
  std::sort(codes.begin(), codes.end());
  EXPECT_EQ(codes, (std::vector<std::string>{"forbidden", "worker_died"}));
  bench.expect_good_ledger_and_loads();
}

// Another model file is another chance.
TEST_F(SurvivalTest, AQuarantineEndsWithTheModelsFile) {
  bench.add_model("m", "reply hello\n");
  bench.start();
  EXPECT_EQ(bench.ask("m", "[[crash 3]]").code(), "worker_died");
  EXPECT_EQ(bench.ask("m", "[[crash 3]]").code(), "forbidden");
  bench.add_model("m", "reply hello, mended\n");
  ASSERT_TRUE(bench.gateway().rescan(Principal()));
  EXPECT_EQ(bench.ask("m", "[[crash 3]]").code(), "worker_died");
  bench.expect_good_ledger_and_loads();
}

}  // namespace
}  // namespace aioss::runtime
