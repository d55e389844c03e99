// Warm models, with real workers: who is parked, when and why; that they come back, and as what
// they were; and what ends them.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <functional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "runtime/testing/test_bench.h"

namespace aioss::runtime {
namespace {

using ledger::RecordType;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::Answered;
using testing::comes_true;
using testing::kGiB;
using testing::read_all;
using testing::read_some_text;
namespace key = ledger::key;

class WarmTest : public ::testing::Test {
 protected:
  WarmTest() { bench.options.prefix_bytes = bench.options.spill_bytes = 0; }

  // Of `weights` GiB and a session of `session` GiB.
  void add(const std::string& name, std::uint64_t weights, std::uint64_t session,
           const std::string& script = "") {
    bench.add_model(name, "reply from " + name + "\nweight_bytes " +
                              std::to_string(weights * kGiB) + "\n# plan kv " +
                              std::to_string(session * kGiB) + "\n" + script);
  }
  MemoryOfModel books(const std::string& model) {
    for (const MemoryOfDevice& device : bench.gateway().memory().devices) {
      for (const MemoryOfModel& one : device.models) {
        if (one.holding.holder == model) return one;
      }
    }
    return {};
  }
  Answered ask(const std::string& model, std::chrono::seconds keep_alive) {
    GenerateCall call = bench.call(model, "q");
    call.keep_alive = keep_alive;
    auto stream = bench.gateway().submit(std::move(call));
    EXPECT_TRUE(stream) << stream.error().message;
    return stream ? read_all(**stream) : Answered();
  }
  void ask_from(const std::string& model) {
    const Answered answered = bench.ask(model, "q");
    ASSERT_TRUE(answered.done) << answered.code();
    EXPECT_EQ(answered.text.at(0), "from " + model);
  }
  // Its time after use is over, again and again if the end of that is noted later.
  void let_park(const std::string& model) {
    for (int i = 0; i < 10 && bench.entry(model).state != "warm"; ++i) {
      bench.clock().advance(seconds(601));
      for (int j = 0; j < 250 && bench.entry(model).state != "warm"; ++j) {
        std::this_thread::sleep_for(milliseconds(10));
      }
    }
    ASSERT_EQ(bench.entry(model).state, "warm");
  }
  Result<ModelEntry> order(ModelOrder::What what, const std::string& model) {
    ModelOrder order;
    order.what = what;
    order.model = model;
    order.by.role = Role::kOperator;
    return bench.gateway().order(order);
  }
  // "eviction parked expired", …, in their order.
  std::vector<std::string> decisions() {
    std::vector<std::string> out;
    for (const ledger::Record& record : bench.records()) {
      if (record.type != RecordType::kDecision) continue;
      out.push_back(*record.body.get_text(key::decision::kKind, "") + " " +
                    *record.body.get_text(key::decision::kOutcome, "") + " " +
                    *record.body.get_text(key::decision::kReason, ""));
    }
    return out;
  }

  testing::TestBench bench;
};

// ---- after use ----------------------------------------------------------------------------------

class WarmAfterUse : public WarmTest {
 protected:
  WarmAfterUse() {
    bench.options.keep_alive = seconds(600);
    bench.options.warm_keep_alive = seconds(3600);
    add("m", 3, 2);
  }
};

TEST_F(WarmAfterUse, ItKeepsItsWeightsAndComesBack) {
  bench.start();
  ask_from("m");
  const auto pids = bench.worker_pids();
  EXPECT_TRUE(comes_true([&] { return books("m").holding.leased.total() == 5 * kGiB; }));
  EXPECT_TRUE(comes_true([&] { return books("m").parked_bytes == 2 * kGiB; }));
  let_park("m");
  ASSERT_TRUE(comes_true([&] { return bench.entry("m").residence.expires_unix_s.has_value(); }));
  EXPECT_TRUE(comes_true([&] { return books("m").holding.leased.total() == 3 * kGiB; }));
  EXPECT_EQ(books("m").holding.leased[memory::Kind::kWeights], 3 * kGiB);
  EXPECT_EQ(books("m").state, "warm");
  EXPECT_NE(bench.metrics().render().find("aioss_models_warm 1\n"), std::string::npos);
  for (int i = 0; i < 3; ++i) ask_from("m");
  EXPECT_EQ(bench.worker_pids(), pids) << "the same process";
  EXPECT_TRUE(comes_true([&] { return books("m").holding.leased.total() == 5 * kGiB; }));
  EXPECT_NE(bench.metrics().render().find("aioss_models_warm 0\n"), std::string::npos);
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.count(RecordType::kModelLoad), 1U) << "it is the load that it was";
  EXPECT_EQ(decisions(),
            (std::vector<std::string>{"eviction parked expired", "load woken requested"}));
  EXPECT_EQ(bench.unload_reasons(), std::vector<std::string>{"shutdown"});
}

TEST_F(WarmAfterUse, ItGoesWhenThatTimeIsOverToo) {
  bench.start();
  ask_from("m");
  let_park("m");
  bench.clock().advance(seconds(3601));
  EXPECT_TRUE(bench.wait_for_state("m", "cold"));
  EXPECT_TRUE(bench.wait_for_no_workers());
  ask_from("m");
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.unload_reasons(), (std::vector<std::string>{"expired", "shutdown"}));
}

TEST_F(WarmAfterUse, AKeepAliveOfNothingEndsItEntirely) {
  bench.start();
  EXPECT_TRUE(ask("m", seconds(0)).done);
  EXPECT_TRUE(bench.wait_for_state("m", "cold"));
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(decisions(), std::vector<std::string>{"eviction unloaded expired"});
}

TEST_F(WarmAfterUse, OrdersEndItOrWakeIt) {
  bench.start();
  ask_from("m");
  let_park("m");
  ASSERT_TRUE(order(ModelOrder::What::kLoad, "m"));
  EXPECT_TRUE(bench.wait_for_state("m", "ready"));
  let_park("m");
  ASSERT_TRUE(bench.gateway().load("m", nullptr)) << "which waits until it is there";
  EXPECT_EQ(bench.entry("m").state, "ready");
  let_park("m");
  ASSERT_TRUE(order(ModelOrder::What::kUnload, "m"));
  EXPECT_TRUE(bench.wait_for_state("m", "cold"));
  EXPECT_TRUE(bench.wait_for_no_workers());
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.count(RecordType::kModelLoad), 1U);
}

TEST_F(WarmAfterUse, APinnedOneStaysWarm) {
  bench.start();
  ask_from("m");
  let_park("m");
  ASSERT_TRUE(order(ModelOrder::What::kPin, "m"));
  bench.clock().advance(seconds(36'000));
  std::this_thread::sleep_for(milliseconds(50));
  EXPECT_EQ(bench.entry("m").state, "warm");
  ask_from("m");
  bench.expect_good_ledger_and_loads();
}

TEST_F(WarmAfterUse, OneThatDiesIsCold) {
  bench.start();
  ask_from("m");
  let_park("m");
  EXPECT_EQ(bench.kill_workers(), 1);
  EXPECT_TRUE(bench.wait_for_state("m", "cold"));
  EXPECT_TRUE(comes_true([&] { return books("m").holding.leased.total() == 0; }));
  ask_from("m");
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.count(RecordType::kModelLoad), 2U);
}

TEST_F(WarmAfterUse, AnotherFileIsLoadedAnew) {
  bench.start();
  ask_from("m");
  let_park("m");
  std::ofstream(bench.model_path("m.fake")) << "aioss-fake 1\nreply from another file\n";
  const Answered answered = bench.ask("m", "q");
  EXPECT_EQ(answered.text.at(0), "from another file");
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.count(RecordType::kModelLoad), 2U);
}

TEST_F(WarmAfterUse, ManyRoundsLoseNothing) {
  bench.options.keep_alive = seconds(600);
  bench.start();
  ask_from("m");
  const auto pids = bench.worker_pids();
  for (int round = 0; round < 10; ++round) {
    if (round % 2 == 0) {
      let_park("m");
    } else {
      bench.clock().advance(seconds(601));
    }
    std::vector<std::shared_ptr<Stream>> streams;  // some while it parks
    for (int i = 0; i < 4; ++i) streams.push_back(bench.submit("m", "q"));
    for (const auto& stream : streams) EXPECT_EQ(read_all(*stream).text.at(0), "from m");
  }
  EXPECT_EQ(bench.worker_pids(), pids);
  bench.expect_good_ledger_and_loads();
}

TEST_F(WarmAfterUse, AnErasureReachesIt) {
  bench.start();
  ask_from("m");
  let_park("m");
  ASSERT_TRUE(bench.gateway().forget_prefixes());
  ask_from("m");
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.count(RecordType::kModelLoad), 1U);
}

TEST_F(WarmAfterUse, AGatewayThatStopsEndsWarmOnesInOrder) {
  bench.start();
  ask_from("m");
  let_park("m");
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.unload_reasons(), std::vector<std::string>{"shutdown"});
}

// ---- making room --------------------------------------------------------------------------------

TEST_F(WarmTest, ModelsWhoseWeightsFitTakeTurnsWithoutLoads) {
  bench.options.memory_max = 10 * kGiB;
  add("a", 3, 3);
  add("b", 3, 3);
  bench.start();
  for (const char* name : {"a", "b", "a", "b", "a"}) {
    ask_from(name);
    ASSERT_TRUE(bench.comes_to_be_idle(name));
  }
  EXPECT_EQ(bench.worker_pids().size(), 2U);
  EXPECT_EQ(bench.entry("b").state, "warm");
  const MemoryReport report = bench.gateway().memory();
  ASSERT_FALSE(report.evictions.empty());
  EXPECT_TRUE(report.evictions.back().parked);
  EXPECT_EQ(report.evictions.back().bytes, 3 * kGiB);
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.count(RecordType::kModelLoad), 2U);
  EXPECT_EQ(bench.unload_reasons(), (std::vector<std::string>{"shutdown", "shutdown"}));
}

TEST_F(WarmTest, WarmOnesEndIfParkingIsNotEnough) {
  bench.options.memory_max = 11 * kGiB;
  add("a", 3, 3);
  add("b", 3, 3);
  add("c", 4, 3);
  bench.start();
  ask_from("a");
  ASSERT_TRUE(bench.comes_to_be_idle("a"));
  ask_from("b");  // parks a
  ASSERT_TRUE(bench.comes_to_be_idle("b"));
  EXPECT_EQ(bench.entry("a").state, "warm");
  ask_from("c");  // the session of b, what a still has, and 2 are free
  EXPECT_EQ(bench.entry("a").state, "cold");
  EXPECT_EQ(bench.entry("b").state, "warm");
  bench.expect_good_ledger_and_loads();
}

TEST_F(WarmTest, WithoutTheSettingModelsGoEntirely) {
  bench.options.memory_max = 10 * kGiB;
  bench.options.warm_keep_alive = seconds(0);
  add("a", 3, 3);
  add("b", 3, 3);
  bench.start();
  for (const char* name : {"a", "b"}) {
    ask_from(name);
    ASSERT_TRUE(bench.comes_to_be_idle(name));
  }
  EXPECT_EQ(bench.entry("a").state, "cold");
  bench.expect_good_ledger_and_loads();
}

TEST_F(WarmTest, OneThatCannotComeBackIsRefusedAndStaysWarm) {
  bench.options.memory_max = 10 * kGiB;
  add("a", 3, 3);
  add("b", 3, 3, "delay_us_per_call 2000\n");
  bench.start();
  ask_from("a");
  ASSERT_TRUE(bench.comes_to_be_idle("a"));
  const auto running = bench.submit("b", "[[long 100000]]");
  Answered answered;
  ASSERT_TRUE(read_some_text(*running, answered));
  EXPECT_EQ(bench.entry("a").state, "warm");
  EXPECT_EQ(bench.ask("a", "q").code(), "no_memory");
  EXPECT_EQ(bench.entry("a").state, "warm");
  running->cancel();
  read_all(*running);
  ASSERT_TRUE(bench.comes_to_be_idle("b"));
  ask_from("a");
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.count(RecordType::kModelLoad), 2U);
}

// Both are wanted, and there is room for one and its session alone.
TEST_F(WarmTest, TwoThatWantToWakeDoNotWaitForEachOther) {
  bench.options.memory_max = 10 * kGiB;
  bench.options.keep_alive = seconds(600);
  bench.options.warm_keep_alive = seconds(3600);
  add("a", 3, 3);
  add("b", 3, 3);
  bench.start();
  ask_from("a");
  ASSERT_TRUE(bench.comes_to_be_idle("a"));
  ask_from("b");
  let_park("b");
  EXPECT_EQ(bench.entry("a").state, "warm");
  std::vector<std::shared_ptr<Stream>> streams;
  for (int i = 0; i < 4; ++i) {
    streams.push_back(bench.submit("a", "q"));
    streams.push_back(bench.submit("b", "q"));
  }
  for (const auto& stream : streams) EXPECT_TRUE(read_all(*stream).done);
  bench.expect_good_ledger_and_loads();
}

TEST_F(WarmTest, UnderPressureModelsAreParkedAndThenEnd) {
  std::atomic<double> stalled{0};
  bench.options.memory.pressure = [&] {
    os::Pressure pressure;
    pressure.known = true;
    pressure.full_percent = stalled;
    return pressure;
  };
  add("m", 1, 1);
  bench.start();
  ask_from("m");
  ASSERT_TRUE(bench.comes_to_be_idle("m"));
  stalled = 50;
  EXPECT_TRUE(bench.wait_for_state("m", "warm"));
  bench.clock().advance(seconds(6));
  EXPECT_TRUE(bench.wait_for_state("m", "cold"));
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(decisions(),
            (std::vector<std::string>{"eviction parked pressure", "eviction unloaded pressure"}));
}

// ---- workers that do not do it ------------------------------------------------------------------

TEST_F(WarmTest, OneThatDoesNotParkIsKilled) {
  bench.options.keep_alive = seconds(600);
  bench.options.warm_keep_alive = seconds(3600);
  bench.options.worker_exit_grace = milliseconds(200);
  bench.add_bad_model("m", "no_park");
  bench.start();
  ASSERT_TRUE(bench.gateway().load("m", nullptr));
  const auto pids = bench.worker_pids();
  bench.clock().advance(seconds(601));
  ASSERT_TRUE(comes_true([&] { return !bench.gateway().memory().evictions.empty(); }));
  bench.clock().advance(seconds(31));
  EXPECT_TRUE(comes_true([&] { return bench.worker_pids() != pids; }));
  bench.expect_good_ledger_and_loads();
  EXPECT_TRUE(bench.unload_reasons().front().starts_with("unhealthy"))
      << bench.unload_reasons().front();
}

TEST_F(WarmTest, OneThatDiesInParkingIsLoadedForWhoWaits) {
  bench.options.keep_alive = seconds(600);
  bench.options.warm_keep_alive = seconds(3600);
  bench.add_bad_model("m", "exit_parked");
  bench.start();
  ASSERT_TRUE(bench.gateway().load("m", nullptr));
  bench.clock().advance(seconds(601));
  EXPECT_TRUE(bench.wait_for_state("m", "cold"));
  EXPECT_TRUE(bench.gateway().load("m", nullptr));
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.count(RecordType::kModelLoad), 2U);
}

}  // namespace
}  // namespace aioss::runtime
