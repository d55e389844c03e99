// Models that share one memory, with real workers: who gets room, who has to go for it, who is
// turned away, and that every byte comes back.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "runtime/supervisor.h"
#include "runtime/testing/test_bench.h"

namespace aioss::runtime {
namespace {

using ledger::RecordType;
using std::chrono::milliseconds;
using testing::Answered;
using testing::kGiB;
using testing::read_all;
using testing::read_some_text;
namespace key = ledger::key;

class SupervisorMemoryTest : public ::testing::Test {
 protected:
  SupervisorMemoryTest() {
    bench.options.prefix_bytes = 0;  // so that models take what their scripts say, to the byte
  }

  void add(const std::string& name, std::uint64_t gib, const std::string& script = "") {
    bench.add_model(name, "reply from " + name + "\nweight_bytes " + std::to_string(gib * kGiB) +
                              "\n" + script);
  }
  std::string state(const std::string& model) {
    for (const ModelEntry& entry : bench.gateway().models()) {
      if (entry.name == model) return entry.state;
    }
    return "";
  }
  MemoryOfDevice host() {
    for (const MemoryOfDevice& device : bench.gateway().memory().devices) {
      if (device.name == memory::kHost) return device;
    }
    return {};
  }
  // What is shown is about a second old.
  bool comes_true(const std::function<bool()>& condition) {
    return testing::comes_true(condition, 10);
  }
  bool all_is_free() {
    return comes_true([&] {
      const MemoryOfDevice device = host();
      return device.name == memory::kHost && device.balance.leased == 0;
    });
  }
  // The end of a request is noted just after its client sees it.
  bool is_idle(const std::string& model) {
    return comes_true([&] {
      for (const MemoryOfModel& one : host().models) {
        if (one.holding.holder == model && one.state == "ready") return one.stays.empty();
      }
      return false;
    });
  }

  testing::TestBench bench;
};

// ---- room ---------------------------------------------------------------------------------------

TEST_F(SupervisorMemoryTest, TwoThatDoNotFitTogetherTakeTurns) {
  bench.options.memory_max = 10 * kGiB;
  add("a", 6);
  add("b", 6);
  bench.start();
  for (const char* name : {"a", "b", "a"}) {
    EXPECT_EQ(bench.ask(name, "q").text.at(0), "from " + std::string(name));
    ASSERT_TRUE(is_idle(name));
    EXPECT_LE(host().balance.used, 10 * kGiB);
  }
  EXPECT_EQ(bench.worker_pids().size(), 1U);
  EXPECT_EQ(bench.gateway().memory().evictions_total, 2U);
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.unload_reasons(), (std::vector<std::string>{"replaced", "replaced", "shutdown"}));
}

TEST_F(SupervisorMemoryTest, TwoThatFitStayBoth) {
  bench.options.memory_max = 12 * kGiB;
  add("a", 6);
  add("b", 6);
  bench.start();
  for (const char* name : {"a", "b", "a", "b"}) EXPECT_TRUE(bench.ask(name, "q").done);
  EXPECT_EQ(bench.worker_pids().size(), 2U);
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.unload_reasons(), (std::vector<std::string>{"shutdown", "shutdown"}));
}

// Two at once cannot count on the same bytes, which are both still to be taken.
TEST_F(SupervisorMemoryTest, LoadsUnderWayCount) {
  bench.options.memory_max = 10 * kGiB;
  add("a", 6, "load_ms 300\n");
  add("b", 6, "load_ms 300\n");
  bench.planner().hold();
  bench.start();
  const auto first = bench.submit("a", "q");
  const auto second = bench.submit("b", "q");
  ASSERT_TRUE(comes_true([&] { return bench.planner().plans() == 2; }));
  bench.planner().release();
  std::atomic<bool> over{false};
  std::atomic<std::uint64_t> most{0};
  std::thread watch([&] {
    while (!over) {
      most = std::max<std::uint64_t>(most, bench.worker_pids().size());
      std::this_thread::sleep_for(milliseconds(5));
    }
  });
  EXPECT_EQ(read_all(*first).text.at(0), "from a");
  EXPECT_EQ(read_all(*second).text.at(0), "from b") << "it waits until the first is idle";
  over = true;
  watch.join();
  EXPECT_EQ(most.load(), 1U);
  bench.expect_good_ledger_and_loads();
}

TEST_F(SupervisorMemoryTest, AThirdWaitsUntilWhatIsLoadedIsIdle) {
  bench.options.memory_max = 10 * kGiB;
  for (const char* name : {"a", "b", "c"}) add(name, 6, "load_ms 200\n");
  bench.start();
  std::vector<std::shared_ptr<Stream>> streams;
  for (const char* name : {"a", "b", "c"}) streams.push_back(bench.submit(name, "q"));
  for (const auto& stream : streams) EXPECT_TRUE(read_all(*stream).done);
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.count(RecordType::kModelLoad), 3U);
}

// The least worth: a and b were used at the same time, and b frees far more.
TEST_F(SupervisorMemoryTest, TheOneOfLeastValueGoes) {
  bench.options.memory_max = 20 * kGiB;
  add("a", 2);
  add("b", 12);
  add("c", 8);
  bench.start();
  EXPECT_TRUE(bench.ask("b", "q").done);
  EXPECT_TRUE(bench.ask("a", "q").done);
  ASSERT_TRUE(is_idle("a") && is_idle("b"));
  EXPECT_TRUE(bench.ask("c", "q").done);
  EXPECT_EQ(state("a"), "ready");
  EXPECT_EQ(state("b"), "cold");
  const MemoryReport report = bench.gateway().memory();
  ASSERT_EQ(report.evictions.size(), 1U);
  EXPECT_EQ(report.evictions[0].model, "b");
  EXPECT_EQ(report.evictions[0].bytes, 12 * kGiB);
  bench.expect_good_ledger_and_loads();
  // The decision says who could have gone, and why it was this one.
  std::vector<std::string> details;
  for (const ledger::Record& record : bench.records()) {
    if (record.type != RecordType::kDecision) continue;
    if (*record.body.get_text(key::decision::kKind, "kind") != "eviction") continue;
    for (const auto& line : **record.body.get_array(key::decision::kDetails, "details")) {
      details.push_back(*line.if_text());
    }
  }
  ASSERT_EQ(details.size(), 3U);
  EXPECT_TRUE(details[0].starts_with("for c bytes=" + std::to_string(8 * kGiB))) << details[0];
  EXPECT_TRUE(details[1].starts_with("b bytes=")) << details[1];
  EXPECT_TRUE(details[1].ends_with(" goes")) << details[1];
  EXPECT_TRUE(details[2].starts_with("a bytes=")) << details[2];
  EXPECT_TRUE(details[2].ends_with(" kept")) << details[2];
}

TEST_F(SupervisorMemoryTest, AsManyGoAsMust) {
  bench.options.memory_max = 12 * kGiB;
  add("a", 4);
  add("b", 4);
  add("c", 4);
  add("d", 8);
  bench.start();
  for (const char* name : {"a", "b", "c"}) EXPECT_TRUE(bench.ask(name, "q").done);
  for (const char* name : {"a", "b", "c"}) ASSERT_TRUE(is_idle(name));
  EXPECT_TRUE(bench.ask("d", "q").done);
  EXPECT_EQ(bench.worker_pids().size(), 2U);
  EXPECT_EQ(bench.gateway().memory().evictions_total, 2U);
  bench.expect_good_ledger_and_loads();
}

// ---- no room ------------------------------------------------------------------------------------

TEST_F(SupervisorMemoryTest, NobodyGoesForAModelThatCannotFit) {
  bench.options.memory_max = 10 * kGiB;
  add("a", 6);
  add("huge", 11);
  bench.start();
  EXPECT_TRUE(bench.ask("a", "q").done);
  ASSERT_TRUE(is_idle("a"));
  const Answered answered = bench.ask("huge", "q");
  EXPECT_EQ(answered.code(), "no_memory");
  EXPECT_EQ(info(Code::kNoMemory).http_status, 507);
  const std::string& message = answered.failed->error.message;
  EXPECT_NE(message.find("needs 11.8 GB"), std::string::npos) << message;
  EXPECT_NE(message.find("of 10.7 GB are free"), std::string::npos) << message;
  EXPECT_NE(message.find("'a' has 6.44 GB"), std::string::npos) << message;
  EXPECT_NE(message.find("smaller quantization"), std::string::npos) << message;
  EXPECT_EQ(state("a"), "ready") << "it was touched for nothing";
  EXPECT_FALSE(bench.gateway().load("huge", nullptr));
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.count(RecordType::kModelLoad), 1U);
  std::size_t refusals = 0;
  for (const ledger::Record& record : bench.records()) {
    if (record.type != RecordType::kDecision) continue;
    if (*record.body.get_text(key::decision::kReason, "reason") != "no_memory") continue;
    ++refusals;
    const auto lines = record.body.get_array(key::decision::kDetails, "details");
    ASSERT_TRUE(lines && !(*lines)->empty());
    const std::string first = *(*lines)->front().if_text();
    EXPECT_TRUE(first.starts_with("needs=11")) << first;
    EXPECT_NE(first.find(" evictable=6442450944"), std::string::npos) << first;
  }
  EXPECT_EQ(refusals, 2U) << "of the request, and of the order";
}

TEST_F(SupervisorMemoryTest, BusyOnesAreNotTouched) {
  bench.options.memory_max = 10 * kGiB;
  add("a", 6, "delay_us_per_call 2000\n");
  add("b", 6);
  bench.start();
  const auto running = bench.submit("a", "[[long 100000]]");
  Answered answered;
  ASSERT_TRUE(read_some_text(*running, answered));
  const Answered refused = bench.ask("b", "q");
  EXPECT_EQ(refused.code(), "no_memory");
  EXPECT_NE(refused.failed->error.message.find("(busy)"), std::string::npos)
      << refused.failed->error.message;
  running->cancel();
  EXPECT_EQ(read_all(*running).code(), "cancelled");
  ASSERT_TRUE(is_idle("a"));
  EXPECT_TRUE(bench.ask("b", "q").done) << "as soon as it is idle";
  bench.expect_good_ledger_and_loads();
}

TEST_F(SupervisorMemoryTest, OneThatWasJustLoadedIsLeftALittleWhile) {
  bench.options.memory_max = 10 * kGiB;
  add("a", 6);
  add("b", 6);
  bench.start();
  ASSERT_TRUE(bench.gateway().load("a", nullptr));
  const auto waiting = bench.submit("b", "q");
  ASSERT_TRUE(comes_true([&] { return !bench.gateway().memory().waiting.empty(); }));
  EXPECT_EQ(state("a"), "ready");
  bench.clock().advance(std::chrono::seconds(3));
  EXPECT_TRUE(read_all(*waiting).done);
  bench.expect_good_ledger_and_loads();
}

// ---- what comes back ----------------------------------------------------------------------------

TEST_F(SupervisorMemoryTest, LoadThatFailsGivesItsBytesBack) {
  bench.options.memory_max = 10 * kGiB;
  add("broken", 9, "load_ms 50\nfail_load corrupt\n");
  add("crashes", 9, "load_ms 50\nfail_load crash\n");
  add("good", 9);
  bench.start();
  EXPECT_EQ(bench.ask("broken", "q").code(), "model_corrupt");
  EXPECT_EQ(bench.ask("crashes", "q").code(), "worker_died");
  EXPECT_TRUE(all_is_free());
  EXPECT_TRUE(bench.ask("good", "q").done);
  bench.expect_good_ledger_and_loads();
}

TEST_F(SupervisorMemoryTest, DryRunThatFailsIsAFailedLoad) {
  add("m", 1, "# plan fails\n");
  bench.start();
  const Answered answered = bench.ask("m", "q");
  EXPECT_EQ(answered.code(), "model_corrupt");
  EXPECT_EQ(answered.failed->error.message, "the dry run has failed");
  EXPECT_EQ(state("m"), "failed");
  EXPECT_TRUE(bench.worker_pids().empty());
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.texts(RecordType::kDecision, key::decision::kKind).front(), "load");
}

TEST_F(SupervisorMemoryTest, KillGivesItsBytesBack) {
  bench.options.memory_max = 10 * kGiB;
  add("a", 6);
  add("b", 6);
  bench.start();
  EXPECT_TRUE(bench.ask("a", "q").done);
  EXPECT_EQ(bench.kill_workers(), 1);
  EXPECT_TRUE(all_is_free());
  EXPECT_TRUE(bench.ask("b", "q").done);
  bench.expect_good_ledger_and_loads();
}

// Its answer goes on in the room that it had, though others wait for some.
TEST_F(SupervisorMemoryTest, KilledUnderAStreamItKeepsItsRoom) {
  bench.options.memory_max = 10 * kGiB;
  add("a", 6, "delay_us_per_call 1000\n");
  add("b", 6);
  bench.start();
  const auto running = bench.submit("a", "[[long 2000]]");
  Answered answered;
  ASSERT_TRUE(read_some_text(*running, answered));
  EXPECT_EQ(bench.kill_workers(), 1);
  EXPECT_TRUE(read_all(*running).done);
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.count(RecordType::kModelLoad), 2U);
}

// They outlive their worker, and are booked; but no model is refused for them.
TEST_F(SupervisorMemoryTest, StatesOfPromptsGiveWay) {
  bench.options.prefix_bytes = 1 << 20;
  bench.options.memory_max = 10 * kGiB;
  add("a", 6);
  add("b", 3);
  add("all", 10);
  bench.start();
  EXPECT_TRUE(bench.ask("a", "q").done);
  EXPECT_EQ(bench.kill_workers(), 1);
  ASSERT_TRUE(bench.wait_for_state("a", "cold"));
  EXPECT_TRUE(bench.ask("b", "q").done);
  const auto kept = [&] {
    for (const MemoryOfModel& one : host().models) {
      if (one.holding.holder == "a") return one.holding.leased[memory::Kind::kPrefixes];
    }
    return std::uint64_t{0};
  };
  EXPECT_TRUE(comes_true([&] { return kept() > 0; }));
  ASSERT_TRUE(is_idle("b"));
  EXPECT_TRUE(bench.ask("all", "q").done);
  EXPECT_TRUE(comes_true([&] { return kept() == 0; }));
  bench.expect_good_ledger_and_loads();
}

// ---- what is measured ---------------------------------------------------------------------------

TEST_F(SupervisorMemoryTest, WhatIsMeasuredIsShownBesideWhatWasPlanned) {
  add("m", 3);
  bench.start();
  EXPECT_TRUE(bench.ask("m", "q").done);
  ASSERT_TRUE(comes_true([&] {
    const MemoryOfDevice device = host();
    return device.models.size() == 1 && device.models[0].holding.measured.has_value();
  }));
  const MemoryOfModel model = host().models.front();
  EXPECT_EQ(model.holding.leased[memory::Kind::kWeights], 3 * kGiB);
  EXPECT_GT(*model.holding.measured, 1'000'000U);
  EXPECT_LT(*model.holding.difference(), 0) << "the fake engine has no weights";
  EXPECT_TRUE(model.exact);
  bench.expect_good_ledger_and_loads();
}

// A model whose weights were repacked still has the pages of its file that they came from: clean
// ones, that the kernel drops when it likes. Nobody goes for them.
TEST_F(SupervisorMemoryTest, PagesOfFilesNeverExceedWhatWasPlanned) {
  std::atomic<std::uint64_t> anonymous{2 * kGiB};
  bench.options.memory_max = 8 * kGiB;
  bench.options.memory.of_process = [&](int) -> Result<os::ProcessMemory> {
    const std::uint64_t mapped = 4 * kGiB;
    return os::ProcessMemory{anonymous + mapped, anonymous + mapped, anonymous, 0, mapped};
  };
  add("a", 4);
  add("b", 4);
  bench.start();
  for (const char* name : {"a", "b"}) EXPECT_TRUE(bench.ask(name, "q").done);
  const auto measured = [&](std::uint64_t bytes) {
    return comes_true([&] {
      const MemoryOfDevice device = host();
      return device.models.size() == 2 && device.models[0].holding.measured == bytes &&
             device.models[1].holding.measured == bytes;
    });
  };
  EXPECT_TRUE(measured(4 * kGiB));
  EXPECT_EQ(host().balance.over, 0U);
  EXPECT_EQ(bench.worker_pids().size(), 2U);
  anonymous = 5 * kGiB;  // that is its own, and more than was planned
  EXPECT_TRUE(measured(5 * kGiB));
  bench.expect_good_ledger_and_loads();
}

TEST_F(SupervisorMemoryTest, WhatTheSystemHasBoundsWhatIsLoaded) {
  bench.options.memory.state = []() -> Result<os::MemoryState> {
    return os::MemoryState{64 * kGiB, 60 * kGiB, 9 * kGiB, 8 * kGiB};
  };
  bench.options.memory.of_process = [](int) -> Result<os::ProcessMemory> {
    return Error{Code::kNotFound, "unknown"};
  };
  add("a", 7);
  add("b", 8);
  bench.start();
  EXPECT_TRUE(bench.ask("a", "q").done);
  EXPECT_EQ(bench.ask("b", "q").code(), "no_memory") << "a part is left to others";
  bench.expect_good_ledger_and_loads();
}

// ---- pressure -----------------------------------------------------------------------------------

TEST_F(SupervisorMemoryTest, UnderPressureIdleModelsGo) {
  std::atomic<double> stalled{0};
  bench.options.memory.pressure = [&] {
    os::Pressure pressure;
    pressure.known = true;
    pressure.full_percent = stalled;
    return pressure;
  };
  add("idle", 1);
  add("busy", 1, "delay_us_per_call 2000\n");
  bench.start();
  const auto running = bench.submit("busy", "[[long 100000]]");
  Answered answered;
  ASSERT_TRUE(read_some_text(*running, answered));
  EXPECT_TRUE(bench.ask("idle", "q").done);
  ASSERT_TRUE(is_idle("idle"));
  stalled = 50;
  EXPECT_TRUE(bench.wait_for_state("idle", "cold"));
  Answered more;
  EXPECT_TRUE(read_some_text(*running, more)) << "one that works was unloaded";
  running->cancel();
  read_all(*running);
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.unload_reasons().front(), "pressure");
}

TEST_F(SupervisorMemoryTest, WhatOthersTakeIsGivenToThem) {
  std::atomic<std::uint64_t> usable{20 * kGiB};
  bench.options.memory.state = [&]() -> Result<os::MemoryState> {
    return os::MemoryState{64 * kGiB, usable, std::nullopt, std::nullopt};
  };
  add("a", 6);
  add("b", 6);
  bench.start();
  for (const char* name : {"a", "b"}) EXPECT_TRUE(bench.ask(name, "q").done);
  for (const char* name : {"a", "b"}) ASSERT_TRUE(is_idle(name));
  usable = 8 * kGiB;
  EXPECT_TRUE(comes_true([&] { return bench.worker_pids().size() == 1; }));
  usable = 20 * kGiB;
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.unload_reasons().front(), "pressure");
}

}  // namespace
}  // namespace aioss::runtime
