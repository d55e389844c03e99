// Models that are measured while a gateway runs, with real workers and the fake engine.
#include "runtime/lives/model_tunings.h"

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "ledger/format/record.h"
#include "runtime/planning/tuning_plan.h"
#include "runtime/testing/test_bench.h"

namespace aioss::runtime {
namespace {

namespace key = ledger::key;
using ledger::RecordType;
using testing::comes_true;

// With flash attention a tenth of the time: no busy machine hides that.
constexpr const char* kFasterWithFlash = "reply one\ndelay_us_per_call 4000\nflash_percent 10\n";
// A record of what was measured comes with the next second, and measuring takes its ten seconds.
constexpr int kPatienceSeconds = 60;

class ModelTuningsTest : public ::testing::Test {
 protected:
  ModelTuningsTest() { bench.options.tune = true; }

  void start_with(const std::string& script) {
    bench.add_model("m", script);
    bench.start();
    EXPECT_EQ(bench.ask("m", "q").text.size(), 1U);
  }
  // Nobody has asked for anything for a while.
  void be_quiet() {
    EXPECT_TRUE(bench.comes_to_be_idle("m"));
    bench.clock().advance(std::chrono::seconds(5));
  }
  // "tuning chosen faster": how often it was decided.
  std::map<std::string, std::uint64_t> decisions() {
    std::map<std::string, std::uint64_t> found;
    for (const ledger::Record& record : bench.records()) {
      if (record.type != RecordType::kDecision) continue;
      const std::string kind = *record.body.get_text(key::decision::kKind, "");
      found[kind + " " + *record.body.get_text(key::decision::kOutcome, "") + " " +
            *record.body.get_text(key::decision::kReason, "")] +=
          *record.body.get_uint(key::decision::kCount, "");
    }
    return found;
  }
  bool was_chosen() {
    const auto all = decisions();
    return all.contains("tuning chosen kept") || all.contains("tuning chosen faster");
  }
  bool comes_to_be_decided(const std::string& what) {
    return comes_true([&] { return decisions().contains(what); }, kPatienceSeconds);
  }

  testing::TestBench bench;
};

TEST_F(ModelTuningsTest, WhatIsFasterComesByOneReplacementAndNoMore) {
  start_with(kFasterWithFlash);
  be_quiet();
  ASSERT_TRUE(comes_to_be_decided("tuning chosen faster"));
  ASSERT_TRUE(comes_to_be_decided("replacement chosen beside"));
  EXPECT_EQ(bench.ask("m", "q").text.front(), "one");
  be_quiet();
  EXPECT_TRUE(comes_true([&] { return bench.worker_pids().size() == 1; }));
  // Some looks later nothing more has happened.
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(bench.ask("m", "q").text.front(), "one");
    be_quiet();
  }
  const auto all = decisions();
  EXPECT_EQ(all.at("tuning chosen faster"), 1U);
  EXPECT_EQ(all.at("replacement chosen beside"), 1U);
  bench.expect_good_ledger();
}

TEST_F(ModelTuningsTest, WhatWasFoundIsAppliedFromTheFirstLoadOfTheNextLife) {
  start_with(kFasterWithFlash);
  be_quiet();
  ASSERT_TRUE(comes_to_be_decided("tuning chosen faster"));
  bench.finish();
  bench.start();
  EXPECT_EQ(bench.ask("m", "q").text.front(), "one");
  be_quiet();
  EXPECT_EQ(bench.ask("m", "q").text.front(), "one");
  ASSERT_TRUE(comes_to_be_decided("tuning chosen stored"));
  EXPECT_EQ(decisions().at("tuning chosen faster"), 1U);
  EXPECT_EQ(decisions().at("tuning chosen stored"), 1U);
}

TEST_F(ModelTuningsTest, WhereNothingIsFasterNothingIsReplaced) {
  // Asleep for most of the time: what is measured is the same for all.
  start_with("reply one\ndelay_us_per_call 4000\n");
  be_quiet();
  ASSERT_TRUE(comes_true([&] { return was_chosen(); }, kPatienceSeconds));
  if (decisions().contains("tuning chosen faster")) GTEST_SKIP() << "the machine is too busy";
  EXPECT_FALSE(decisions().contains("replacement chosen beside"));
}

TEST_F(ModelTuningsTest, OneWhoseCandidatesCrashServesOn) {
  start_with("reply one\ndelay_us_per_call 1000\ncrash_together any\n");
  be_quiet();
  ASSERT_TRUE(comes_to_be_decided("tuning failed worker_died"));
  EXPECT_EQ(bench.ask("m", "q").text.front(), "one");
  be_quiet();
  EXPECT_EQ(bench.ask("m", "q").text.front(), "one");
  EXPECT_EQ(decisions().at("tuning failed worker_died"), 1U);
}

TEST_F(ModelTuningsTest, WhatCrashesTwiceIsTakenBackForGood) {
  start_with(kFasterWithFlash);
  be_quiet();
  ASSERT_TRUE(comes_to_be_decided("replacement chosen beside"));
  ASSERT_TRUE(comes_true([&] { return bench.worker_pids().size() == 1; }));
  // It ends a worker together with others that may be the cause, and then one alone.
  EXPECT_EQ(bench.ask("m", "[[crash 3]]").code(), "worker_died");
  ASSERT_TRUE(comes_to_be_decided("tuning chosen taken_back"));
  EXPECT_EQ(bench.ask("m", "q").text.front(), "one");
  // Nor is it measured, or chosen, in the next life.
  bench.finish();
  bench.start();
  EXPECT_EQ(bench.ask("m", "q").text.front(), "one");
  be_quiet();
  EXPECT_EQ(bench.ask("m", "q").text.front(), "one");
  const auto all = decisions();
  EXPECT_EQ(all.at("tuning chosen faster"), 1U);
  EXPECT_EQ(all.at("tuning chosen taken_back"), 1U);
  EXPECT_EQ(all.at("replacement chosen beside"), 1U);
}

TEST_F(ModelTuningsTest, ARequestInterruptsIt) {
  start_with("reply one\ndelay_us_per_call 20000\n");
  be_quiet();
  ASSERT_TRUE(comes_true([&] { return bench.worker_pids().size() == 2; }));
  const auto stream = bench.submit("m", "[[long 100000]]");
  testing::Answered answered;
  ASSERT_TRUE(testing::read_some_text(*stream, answered));
  EXPECT_TRUE(comes_true([&] { return bench.worker_pids().size() == 1; }));
  stream->cancel();
  // In the next pause it is measured all the same.
  be_quiet();
  EXPECT_TRUE(comes_true([&] { return was_chosen(); }, kPatienceSeconds));
  for (const auto& [what, count] : decisions()) EXPECT_FALSE(what.starts_with("tuning failed"));
}

TEST_F(ModelTuningsTest, WhereBitsCountItIsMeasuredBeforeTheFirstRequest) {
  bench.options.profile = ipc::Profile::kReproducible;
  const os::CpuBudget cpu = os::cpu_budget();
  if (cpu.usable_cores() < 2 && cpu.logical < 2) GTEST_SKIP() << "one core: nothing to choose";
  start_with("reply one\ndelay_us_per_call 1000\n");
  bench.finish();
  bench.start();
  EXPECT_EQ(bench.ask("m", "q").text.front(), "one");
  bench.finish();
  // Once, and not again.
  bench.start();
  std::uint64_t tunings = 0;
  for (const auto& [what, count] : decisions()) {
    if (what.starts_with("tuning")) tunings += count;
  }
  EXPECT_EQ(tunings, 1U);
  EXPECT_FALSE(decisions().contains("replacement chosen beside"));
}

TEST_F(ModelTuningsTest, NothingIsMeasuredWhereItIsOff) {
  bench.options.tune = false;
  start_with(kFasterWithFlash);
  be_quiet();
  EXPECT_EQ(bench.ask("m", "q").text.front(), "one");
  be_quiet();
  EXPECT_EQ(bench.worker_pids().size(), 1U);
  for (const auto& [what, count] : decisions()) EXPECT_FALSE(what.starts_with("tuning")) << what;
}

TEST_F(ModelTuningsTest, WithoutRoomNothingIsMeasured) {
  bench.options.memory_max = std::uint64_t{1} << 20;
  start_with("reply one\nweight_bytes 800000\nflash_percent 10\ndelay_us_per_call 2000\n");
  be_quiet();
  EXPECT_EQ(bench.ask("m", "q").text.front(), "one");
  be_quiet();
  EXPECT_TRUE(comes_to_be_decided("tuning refused no_memory"));
  be_quiet();
  EXPECT_EQ(bench.ask("m", "q").text.front(), "one");
  EXPECT_EQ(bench.worker_pids().size(), 1U);
  EXPECT_EQ(decisions().at("tuning refused no_memory"), 1U);
}

TEST_F(ModelTuningsTest, WhereBitsCountALoadThatIsGivenUpEndsItsMeasuring) {
  bench.options.profile = ipc::Profile::kReproducible;
  const os::CpuBudget cpu = os::cpu_budget();
  if (cpu.usable_cores() < 2 && cpu.logical < 2) GTEST_SKIP() << "one core: nothing to choose";
  bench.add_model("m", "reply one\ndelay_us_per_call 20000\n");
  bench.start();
  const auto stream = bench.submit("m", "q");
  ASSERT_TRUE(comes_true([&] { return bench.worker_pids().size() == 1; }));
  ModelOrder unload;
  unload.what = ModelOrder::What::kUnload;
  unload.model = "m";
  unload.force = true;
  unload.by.source = "local";
  ASSERT_TRUE(bench.gateway().order(unload));
  EXPECT_TRUE(testing::read_all(*stream).failed.has_value());
  EXPECT_TRUE(comes_true([&] { return bench.worker_pids().empty(); }));
  bench.finish();
  for (const auto& [what, count] : decisions()) EXPECT_FALSE(what.starts_with("tuning")) << what;
}

// Its worker has room, and a second session beside it has none: it is loaded at once.
TEST_F(ModelTuningsTest, WhereBitsCountAModelWithoutRoomForItIsLoadedUnmeasured) {
  bench.options.profile = ipc::Profile::kReproducible;
  const os::CpuBudget cpu = os::cpu_budget();
  if (cpu.usable_cores() < 2 && cpu.logical < 2) GTEST_SKIP() << "one core: nothing to choose";
  bench.options.memory_max = std::uint64_t{1} << 20;
  start_with("reply one\nweight_bytes 100000\n# plan kv 700000\n");
  bench.finish();
  EXPECT_EQ(decisions().at("tuning refused no_memory"), 1U);
}

}  // namespace
}  // namespace aioss::runtime
