// Workers that die, misbehave, fail to load or stand in each other's way: what clients are told,
// what is recorded, and that the next request works.
#include "runtime/supervisor.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "runtime/testing/test_bench.h"

namespace aioss::runtime {
namespace {

using ledger::RecordType;
using std::chrono::milliseconds;
using testing::Answered;
using testing::comes_true;
using testing::read_all;
using testing::read_some_text;
namespace key = ledger::key;

class SupervisorTest : public ::testing::Test {
 protected:
  testing::TestBench bench;
};

// ---- death --------------------------------------------------------------------------------------

TEST_F(SupervisorTest, EngineThatCrashesTakesNobodyWithIt) {
  bench.add_model("m", "reply hello world\n");
  bench.start();
  for (const std::string prompt : {"[[crash 3]]", "[[segv 2]]", "[[exit 1]]", "[[crash 0]]"}) {
    EXPECT_EQ(bench.ask("m", prompt).code(), "worker_died") << prompt;
    EXPECT_EQ(bench.ask("m", "good").text.at(0), "hello world");
  }
  bench.expect_good_ledger_and_loads();
  // Each was tried three times, alone in the end; the last good one found a worker of its own.
  EXPECT_EQ(bench.count(RecordType::kModelLoad), 4U * 3U + 1U);
}

TEST_F(SupervisorTest, IdleWorkerThatDiesIsReplacedOnDemand) {
  bench.add_model("m", "reply hello\n");
  bench.start();
  EXPECT_TRUE(bench.ask("m", "a").done);
  bench.kill_workers();
  ASSERT_TRUE(bench.wait_for_state("m", "cold"));
  EXPECT_TRUE(bench.wait_for_no_workers());
  EXPECT_TRUE(bench.ask("m", "b").done);
  bench.expect_good_ledger_and_loads();
}

// As one that sleeps in the kernel, where SIGKILL does not reach it.
TEST_F(SupervisorTest, ProcessThatDoesNotEndHoldsNobodyUp) {
  bench.options.worker_exit_grace = milliseconds(600'000);
  bench.add_bad_model("m", "leave");
  bench.start();
  const auto lost = bench.submit("m", "a");
  for (int i = 0; i < 1'000 && bench.worker_pids().empty(); ++i) {
    std::this_thread::sleep_for(milliseconds(5));
  }
  const auto waiting = bench.submit("m", "b");
  ASSERT_TRUE(bench.wait_for_state("m", "cold"));
  ASSERT_EQ(bench.worker_pids().size(), 1U);
  bench.clock().advance(std::chrono::seconds(10));
  EXPECT_EQ(read_all(*lost).code(), "worker_died");
  const Answered answered = read_all(*waiting);
  EXPECT_EQ(answered.code(), "worker_died");
  EXPECT_NE(answered.failed->error.message.find("does not end"), std::string::npos);
  EXPECT_EQ(bench.ask("m", "c").code(), "worker_died") << "who comes later waits for ever";
  ASSERT_EQ(bench.worker_pids().size(), 1U);

  bench.add_model("m", "reply hello\n");
  bench.kill_workers();
  bool done = false;
  for (int i = 0; i < 500 && !done; ++i) done = bench.ask("m", "d").done.has_value();
  EXPECT_TRUE(done) << "once it is gone, another is started";
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.texts(RecordType::kModelUnload, key::model_unload::kReason),
            (std::vector<std::string>{"worker_died: signal 9 (Killed)", "shutdown"}));
}

// A request that is handed over in the moment of death must end or be served, never hang.
TEST_F(SupervisorTest, RequestsDuringDeathAllEnd) {
  bench.add_model("m", "reply hello\n");
  bench.start();
  std::atomic<bool> stop{false};
  std::thread killer([&] {
    while (!stop) {
      bench.kill_workers();
      std::this_thread::sleep_for(milliseconds(30));
    }
  });
  int done = 0, died = 0;
  for (int i = 0; i < 60; ++i) {
    const Answered answered = bench.ask("m", "q");
    if (answered.done) ++done;
    if (answered.code() == "worker_died") ++died;
    EXPECT_TRUE(answered.done || answered.code() == "worker_died") << answered.code();
  }
  stop = true;
  killer.join();
  EXPECT_EQ(done + died, 60);
  bench.clock().advance(std::chrono::minutes(6));  // a load that was killed is not retried at once
  EXPECT_TRUE(bench.ask("m", "q").done);
  bench.expect_good_ledger_and_loads();
}

// ---- loading ------------------------------------------------------------------------------------

TEST_F(SupervisorTest, FailedLoadIsToldToAllWhoWait) {
  bench.add_model("m", "load_ms 200\nfail_load corrupt\n");
  bench.start();
  const auto first = bench.submit("m", "a");
  const auto second = bench.submit("m", "b");
  for (const auto& stream : {first, second}) {
    const Answered answered = read_all(*stream);
    EXPECT_EQ(answered.code(), "model_corrupt");
    EXPECT_TRUE(answered.failed->abort_record);
  }
  EXPECT_EQ(bench.entry("m").state, "failed");
  ASSERT_TRUE(bench.entry("m").last_error);
  EXPECT_EQ(bench.entry("m").last_error->code, Code::kModelCorrupt);
  // At once: refused with the same reason, without another worker.
  EXPECT_EQ(bench.ask("m", "c").code(), "model_corrupt");
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.count(RecordType::kModelLoad), 0U);
  EXPECT_EQ(bench.count(RecordType::kInferAbort), 3U);
  EXPECT_NE(bench.metrics().render().find("aioss_model_load_failures_total 1"), std::string::npos);
}

TEST_F(SupervisorTest, FailedLoadIsRetriedAfterAWhile) {
  bench.add_model("m", "fail_load memory\n");
  bench.start();
  EXPECT_EQ(bench.ask("m", "a").code(), "no_memory");
  EXPECT_EQ(bench.ask("m", "a").code(), "no_memory") << "at once";
  bench.add_model("m", "reply hello\n");  // another file: the next request may try
  EXPECT_TRUE(bench.ask("m", "b").done);
  EXPECT_EQ(bench.entry("m").state, "ready");
  EXPECT_FALSE(bench.entry("m").last_error);
  bench.expect_good_ledger_and_loads();
}

TEST_F(SupervisorTest, CrashWhileLoadingIsAFailedLoad) {
  bench.add_model("m", "fail_load crash\n");
  bench.start();
  const Answered answered = bench.ask("m", "a");
  EXPECT_EQ(answered.code(), "worker_died");
  EXPECT_EQ(bench.entry("m").state, "failed");
  bench.expect_good_ledger_and_loads();
}

TEST_F(SupervisorTest, LoadHasADeadline) {
  bench.options.load_timeout = milliseconds(300);
  bench.add_bad_model("silent", "silent");
  bench.add_bad_model("slow", "slow_load");
  bench.start();
  EXPECT_EQ(bench.ask("silent", "a").code(), "timeout");
  EXPECT_EQ(bench.ask("slow", "a").code(), "timeout");
  bench.expect_good_ledger_and_loads();
}

TEST_F(SupervisorTest, LoadReportsProgressAndFacts) {
  bench.add_model("m", "reply hello\nload_ms 500\n");
  bench.start();
  EXPECT_EQ(bench.entry("m").state, "cold");
  std::vector<float> seen;
  const auto loaded = bench.gateway().load("m", [&](float f) { seen.push_back(f); });
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->state, "ready");
  ASSERT_TRUE(loaded->facts);
  EXPECT_EQ(loaded->facts->engine.name, "fake");
  EXPECT_EQ(loaded->sha256.size(), 64U);
  ASSERT_FALSE(seen.empty());
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_EQ(seen.back(), 1.0F);
  EXPECT_GT(std::count_if(seen.begin(), seen.end(), [](float f) { return f > 0 && f < 1; }), 0);
  EXPECT_EQ(bench.gateway().load("nosuch", nullptr).error().code, Code::kNotFound);
  bench.expect_good_ledger_and_loads();
}

TEST_F(SupervisorTest, HashIsComputedThenRemembered) {
  bench.add_model("m", "reply hello\n");
  // As if it had been written long ago: a fresh file is not remembered.
  std::filesystem::last_write_time(
      bench.model_path("m.fake"),
      std::filesystem::file_time_type::clock::now() - std::chrono::hours(1));
  bench.start();
  EXPECT_TRUE(bench.ask("m", "a").done);
  bench.kill_workers();
  ASSERT_TRUE(bench.wait_for_state("m", "cold"));
  EXPECT_TRUE(bench.ask("m", "a").done);
  bench.expect_good_ledger_and_loads();
  std::vector<std::uint64_t> sources;
  std::vector<Bytes> hashes;
  for (const ledger::Record& record : bench.records()) {
    if (record.type != RecordType::kModelLoad) continue;
    sources.push_back(*record.body.get_uint(key::model_load::kHashSource, "source"));
    hashes.push_back(*record.body.get_bytes(key::model_load::kSha256, "hash"));
  }
  EXPECT_EQ(sources, (std::vector<std::uint64_t>{0, 1}));
  ASSERT_EQ(hashes.size(), 2U);
  EXPECT_EQ(hashes[0], hashes[1]);
}

TEST_F(SupervisorTest, WorkerIsConfined) {
  bench.add_model("m", "reply hello\n");
  bench.start();
  const auto report = bench.gateway().probe("m");
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_FALSE(report->items.empty());
  for (const auto& item : report->items) EXPECT_TRUE(item.refused) << item.attempt;
  EXPECT_TRUE(bench.ask("m", "a").done) << "the probe did harm";
  const auto wait = [&] { return bench.gateway().health().confinement; };
  for (int i = 0; i < 300 && wait().empty(); ++i) std::this_thread::sleep_for(milliseconds(10));
  EXPECT_EQ(wait().size(), 1U);
  bench.expect_good_ledger_and_loads();
}

// ---- room ---------------------------------------------------------------------------------------

TEST_F(SupervisorTest, LeastRecentlyUsedIdleWorkerMakesRoom) {
  bench.options.workers_max = 2;
  for (const char* name : {"a", "b", "c"}) bench.add_model(name, "reply hello\n");
  bench.start();
  for (const char* name : {"a", "b", "a"}) {  // then b is the oldest
    EXPECT_TRUE(bench.ask(name, "q").done);
    // The end of a request is noted just after its client sees it.
    std::this_thread::sleep_for(milliseconds(50));
  }
  EXPECT_TRUE(bench.ask("c", "q").done);
  EXPECT_EQ(bench.entry("a").state, "ready");
  EXPECT_EQ(bench.entry("b").state, "cold");
  EXPECT_EQ(bench.entry("c").state, "ready");
  EXPECT_LE(bench.worker_pids().size(), 2U);
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.texts(RecordType::kModelUnload, key::model_unload::kReason),
            (std::vector<std::string>{"replaced", "shutdown", "shutdown"}));
}

TEST_F(SupervisorTest, BusyWorkersAreNotReplaced) {
  bench.options.workers_max = 1;
  bench.add_model("a", "reply hello\ndelay_us_per_call 2000\n");
  bench.add_model("b", "reply hello\n");
  bench.start();
  const auto running = bench.submit("a", "[[long 100000]]");
  Answered answered;
  ASSERT_TRUE(read_some_text(*running, answered));
  EXPECT_EQ(bench.ask("b", "q").code(), "busy");
  running->cancel();
  EXPECT_EQ(read_all(*running).code(), "cancelled");
  EXPECT_TRUE(bench.ask("b", "q").done);
  bench.expect_good_ledger_and_loads();
}

TEST_F(SupervisorTest, TwoModelsTakeTurnsInOneRoom) {
  bench.options.workers_max = 1;
  bench.add_model("a", "reply from a\n");
  bench.add_model("b", "reply from b\n");
  bench.start();
  std::vector<std::thread> threads;
  std::atomic<int> done{0}, busy{0};
  std::atomic<bool> ok{true};
  for (const std::string model : {"a", "b"}) {
    threads.emplace_back([&, model] {
      for (int i = 0; i < 10; ++i) {
        const Answered answered = bench.ask(model, "q");
        EXPECT_TRUE(answered.done || answered.code() == "busy") << answered.code();
        answered.done ? ++done : ++busy;
        if (answered.done) ok = ok && answered.text.at(0) == "from " + model;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(done + busy, 20);
  EXPECT_GT(done.load(), 0);
  EXPECT_TRUE(ok) << "an answer came from the other model";
  bench.expect_good_ledger_and_loads();
}

TEST_F(SupervisorTest, RemovedModelIsUnloadedAndUnknown) {
  bench.add_model("m", "reply hello\n");
  bench.start();
  EXPECT_TRUE(bench.ask("m", "a").done);
  std::filesystem::remove(bench.model_path("m.fake"));
  bench.add_model("n", "reply new\n");
  ASSERT_TRUE(bench.gateway().rescan(Principal()));
  EXPECT_EQ(bench.gateway().submit(bench.call("m", "a")).error().code, Code::kNotFound);
  EXPECT_EQ(bench.ask("n", "a").text.at(0), "new");
  for (int i = 0; i < 500 && bench.worker_pids().size() > 1; ++i) {
    std::this_thread::sleep_for(milliseconds(10));
  }
  EXPECT_EQ(bench.worker_pids().size(), 1U);
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.texts(RecordType::kModelUnload, key::model_unload::kReason).front(), "removed");
}

TEST_F(SupervisorTest, VanishedFileIsAClearError) {
  bench.add_model("m", "reply hello\n");
  bench.start();
  std::filesystem::remove(bench.model_path("m.fake"));
  const Answered answered = bench.ask("m", "a");
  EXPECT_EQ(answered.code(), "not_found");
  EXPECT_EQ(answered.failed->error.message.find(bench.directory()), std::string::npos)
      << "a path of the server reaches the client";
  bench.expect_good_ledger_and_loads();
}

// ---- files that change --------------------------------------------------------------------------

// Same file, new content, as `cp` over it leaves it: what runs on it is not what was hashed.
TEST_F(SupervisorTest, FileWrittenToUnderItsWorkerEndsTheWorker) {
  bench.add_model("m", "reply hello\ndelay_us_per_call 2000\n");
  bench.start();
  const auto stream = bench.submit("m", "[[long 100000]]");
  Answered answered;
  ASSERT_TRUE(read_some_text(*stream, answered));
  bench.add_model("m", "reply other\n");
  const Answered rest = read_all(*stream);
  EXPECT_EQ(rest.code(), "worker_died");
  EXPECT_NE(rest.failed->error.message.find("was changed while it was loaded"), std::string::npos)
      << rest.failed->error.message;
  EXPECT_EQ(bench.ask("m", "q").text.at(0), "other");
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.texts(RecordType::kModelUnload, key::model_unload::kReason),
            (std::vector<std::string>{"changed", "shutdown"}));
  std::vector<Bytes> hashes;
  for (const ledger::Record& record : bench.records()) {
    if (record.type != RecordType::kModelLoad) continue;
    hashes.push_back(*record.body.get_bytes(key::model_load::kSha256, "hash"));
  }
  ASSERT_EQ(hashes.size(), 2U);
  EXPECT_NE(hashes[0], hashes[1]);
}

TEST_F(SupervisorTest, NoRequestIsGivenToAWorkerWhoseFileWasWrittenTo) {
  bench.add_model("m", "reply one\n");
  bench.start();
  EXPECT_EQ(bench.ask("m", "q").text.at(0), "one");
  bench.add_model("m", "reply two\n");  // as many bytes
  EXPECT_EQ(bench.ask("m", "q").text.at(0), "two") << "the check came too late";
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.texts(RecordType::kModelUnload, key::model_unload::kReason),
            (std::vector<std::string>{"changed", "shutdown"}));
}

TEST_F(SupervisorTest, IdleWorkerWhoseFileWasWrittenToIsEnded) {
  bench.add_model("m", "reply one\n");
  bench.start();
  EXPECT_TRUE(bench.ask("m", "q").done);
  bench.add_model("m", "reply two\n");
  EXPECT_TRUE(bench.wait_for_state("m", "cold"));
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.texts(RecordType::kModelUnload, key::model_unload::kReason),
            (std::vector<std::string>{"changed"}));
}

// A hash that is remembered is there before the file is loaded.
TEST_F(SupervisorTest, FileWrittenToWhileItLoadsIsNotLoaded) {
  bench.add_model("m", "reply hello\nload_ms 500\n");
  const std::string path = bench.model_path("m.fake");
  const auto now = std::filesystem::file_time_type::clock::now();
  std::filesystem::last_write_time(path, now - std::chrono::hours(1));
  bench.start();
  EXPECT_TRUE(bench.ask("m", "q").done);
  bench.kill_workers();
  ASSERT_TRUE(bench.wait_for_no_workers());
  const auto waiting = bench.submit("m", "q");
  // Not "loading", which a model is before its file is open.
  ASSERT_TRUE(comes_true([&] { return !bench.worker_pids().empty(); }));
  std::filesystem::last_write_time(path, now);
  EXPECT_EQ(read_all(*waiting).code(), "model_corrupt");
  EXPECT_TRUE(bench.ask("m", "q").done);
  bench.expect_good_ledger_and_loads();
}

TEST_F(SupervisorTest, FileWrittenToBeforeItIsOpenedIsLoadedAsItIs) {
  bench.add_model("m", "reply one\n");
  bench.planner().hold();
  bench.start();
  const auto waiting = bench.submit("m", "q");
  ASSERT_TRUE(bench.wait_for_state("m", "loading"));
  bench.add_model("m", "reply other\n");
  bench.planner().release();
  EXPECT_EQ(read_all(*waiting).text.at(0), "other");
  bench.expect_good_ledger_and_loads();
}

TEST_F(SupervisorTest, ExchangedFileIsServedAfterARescan) {
  bench.add_model("m", "reply one\n");
  bench.start();
  EXPECT_EQ(bench.ask("m", "q").text.at(0), "one");
  std::ofstream(bench.model_path("m.new")) << "aioss-fake 1\nreply two\n";
  std::filesystem::rename(bench.model_path("m.new"), bench.model_path("m.fake"));
  EXPECT_EQ(bench.ask("m", "q").text.at(0), "one") << "its own file is as it was";
  // The end of a request is noted just after its client sees it.
  std::this_thread::sleep_for(milliseconds(50));
  ASSERT_TRUE(bench.gateway().rescan(Principal()));
  std::string text;
  for (int i = 0; i < 500 && text != "two"; ++i) text = bench.ask("m", "q").text.at(0);
  EXPECT_EQ(text, "two");
  ASSERT_TRUE(bench.gateway().rescan(Principal()));
  EXPECT_EQ(bench.ask("m", "q").text.at(0), "two");
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.unload_reasons(), (std::vector<std::string>{"new_file", "shutdown"}))
      << "a rescan that finds the same file leaves its worker alone";
}

TEST_F(SupervisorTest, BusyWorkerOfAnExchangedFileMayEndItsWork) {
  bench.add_model("m", "reply one\ndelay_us_per_call 2000\n");
  bench.start();
  const auto stream = bench.submit("m", "[[long 100000]]");
  Answered answered;
  ASSERT_TRUE(read_some_text(*stream, answered));
  std::ofstream(bench.model_path("m.new")) << "aioss-fake 1\nreply two\n";
  std::filesystem::rename(bench.model_path("m.new"), bench.model_path("m.fake"));
  ASSERT_TRUE(bench.gateway().rescan(Principal()));
  std::this_thread::sleep_for(milliseconds(1500));  // the check of each second comes
  Answered more;
  EXPECT_TRUE(read_some_text(*stream, more)) << more.code();
  stream->cancel();
  EXPECT_EQ(read_all(*stream).code(), "cancelled");
  std::string text;
  for (int i = 0; i < 100 && text != "two"; ++i) text = bench.ask("m", "q").text.at(0);
  EXPECT_EQ(text, "two");
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.unload_reasons(), (std::vector<std::string>{"new_file", "shutdown"}));
}

// ---- bad manners --------------------------------------------------------------------------------

class BadWorkerTest : public SupervisorTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(BadWorkerTest, IsKilledWithAReason) {
  bench.add_bad_model("bad", GetParam());
  bench.add_model("good", "reply hello\n");
  bench.start();
  const auto stream = bench.submit("bad", "q");
  const Answered answered = read_all(*stream);
  if (std::string(GetParam()) == "finish_twice" || std::string(GetParam()) == "after_end") {
    // The answer was whole before the worker went wrong.
    EXPECT_TRUE(answered.done || answered.failed);
  } else {
    ASSERT_TRUE(answered.failed);
    EXPECT_FALSE(answered.failed->error.message.empty());
    EXPECT_NE(answered.code(), "timeout");
    EXPECT_NE(answered.code(), "cancelled");
  }
  EXPECT_TRUE(bench.wait_for_no_workers()) << "it was not killed";
  EXPECT_TRUE(bench.ask("good", "q").done);
  bench.expect_good_ledger_and_loads();
}

INSTANTIATE_TEST_SUITE_P(Rules, BadWorkerTest,
                         ::testing::Values("version", "no_hello", "garbage", "huge", "hello_twice",
                                           "profile", "exit_in_load", "ready_twice", "pong_unasked",
                                           "probe_unasked", "exit", "partial_frame", "early_delta",
                                           "wrong_id", "accept_twice", "late_reject",
                                           "extra_choice", "extra_tokens", "logprobs_unasked",
                                           "self_cancel", "other_prompt", "finish_twice",
                                           "after_end"),
                         [](const auto& param) { return std::string(param.param); });

TEST_F(SupervisorTest, ReaderThatIsTooSlowIsCutOff) {
  bench.add_bad_model("m", "flood");
  bench.start();
  const auto stream = bench.submit("m", "q");
  // Nobody reads; 20 MiB come.
  for (int i = 0; i < 1'000 && bench.count(RecordType::kInferAbort) == 0; ++i) {
    std::this_thread::sleep_for(milliseconds(10));
  }
  const Answered answered = read_all(*stream);
  EXPECT_EQ(answered.code(), "timeout");
  EXPECT_NE(answered.failed->error.message.find("slowly"), std::string::npos);
  bench.expect_good_ledger_and_loads();
}

TEST_F(SupervisorTest, StubbornWorkerIsKilledAtShutDown) {
  bench.add_bad_model("m", "stubborn");
  bench.start();
  EXPECT_TRUE(bench.ask("m", "q").done);
  bench.expect_good_ledger_and_loads();
  EXPECT_TRUE(bench.worker_pids().empty());
}

// ---- hashes
// --------------------------------------------------------------------------------------

TEST_F(SupervisorTest, HashOfAFailedLoadIsGivenUp) {
  bench.add_model("broken", "fail_load corrupt\n");
  bench.add_model("good", "reply hello\n");
  const std::string path = bench.model_path("broken.fake");
  bench.files().hold_reads(path);
  bench.start();
  EXPECT_EQ(bench.ask("broken", "a").code(), "model_corrupt");
  bench.files().release();
  // The thread that hashes comes to the next model only once it is done with this one.
  EXPECT_TRUE(bench.ask("good", "b").done);
  EXPECT_LE(bench.files().reads(path), 1) << "it was read on to its end";
  bench.expect_good_ledger_and_loads();
}

TEST_F(SupervisorTest, CancelThatIsIgnoredIsFoundByTheHealthCheck) {
  bench.add_bad_model("m", "no_cancel");
  bench.start();
  const auto stream = bench.submit("m", "q");
  Answered answered;
  ASSERT_TRUE(read_some_text(*stream, answered));
  stream->cancel();
  EXPECT_FALSE(stream->next_for(milliseconds(200))) << "it ended without the worker's word";
  bench.kill_workers();
  EXPECT_EQ(read_all(*stream).code(), "cancelled") << "the client's leaving is the cause";
  bench.expect_good_ledger_and_loads();
}

}  // namespace
}  // namespace aioss::runtime
