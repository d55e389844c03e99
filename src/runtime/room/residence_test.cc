// How long models stay, what operators order of them, and what those are told who wait for one.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
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
using testing::read_all;
using testing::read_some_text;
namespace key = ledger::key;

constexpr const char* kHello = "reply hello\n";
constexpr const char* kNeverReady = "reply hello\nload_ms 600000\n";
constexpr const char* kLong = "[[long 100000]]";

class ResidenceTest : public ::testing::Test {
 protected:
  Answered ask(const std::string& model, std::chrono::seconds keep_alive,
               const std::string& tenant = "local") {
    GenerateCall call = bench.call(model, "q");
    call.keep_alive = keep_alive;
    call.principal.tenant = tenant;
    auto stream = bench.gateway().submit(std::move(call));
    EXPECT_TRUE(stream) << stream.error().message;
    return stream ? read_all(**stream) : Answered();
  }
  Result<ModelEntry> order(ModelOrder::What what, const std::string& model, bool force = false) {
    ModelOrder order;
    order.what = what;
    order.model = model;
    order.force = force;
    order.by.role = Role::kOperator;
    return bench.gateway().order(order);
  }
  std::vector<std::string> decisions() {
    return bench.texts(RecordType::kDecision, key::decision::kReason);
  }
  // How many loads have failed.
  bool has_failed(int loads) {
    const std::string wanted = "aioss_model_load_failures_total " + std::to_string(loads) + "\n";
    return bench.metrics().render().find(wanted) != std::string::npos;
  }

  testing::TestBench bench;
};

// ---- how long it stays --------------------------------------------------------------------------

TEST_F(ResidenceTest, GoesWhenItsTimeIsOverUnlessPinned) {
  bench.options.keep_alive = seconds(600);
  bench.options.pin = {"a"};
  for (const char* name : {"a", "b"}) bench.add_model(name, kHello);
  bench.start();
  EXPECT_TRUE(bench.ask("a", "q").done);
  EXPECT_TRUE(bench.ask("b", "q").done);
  ASSERT_TRUE(comes_true([&] { return bench.entry("b").residence.expires_unix_s.has_value(); }));
  EXPECT_EQ(*bench.entry("b").residence.expires_unix_s - *bench.entry("b").residence.idle_unix_s,
            600);
  EXPECT_FALSE(bench.entry("a").residence.expires_unix_s);
  EXPECT_TRUE(bench.entry("a").residence.pinned);
  bench.clock().advance(seconds(601));
  EXPECT_TRUE(bench.wait_for_state("b", "cold"));
  EXPECT_EQ(bench.entry("a").state, "ready");
  EXPECT_TRUE(bench.ask("b", "q").done) << "it comes back when it is asked for";
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.unload_reasons(), (std::vector<std::string>{"expired", "shutdown", "shutdown"}));
  EXPECT_EQ(decisions(), (std::vector<std::string>{"expired"}));
}

TEST_F(ResidenceTest, RequestSaysHowLongItStays) {
  bench.options.keep_alive = seconds(600);
  for (const char* name : {"a", "b"}) bench.add_model(name, kHello);
  bench.start();
  EXPECT_TRUE(ask("a", seconds(0)).done);
  EXPECT_TRUE(bench.wait_for_state("a", "cold")) << "unloaded after use";
  EXPECT_TRUE(ask("a", kForever).done);
  EXPECT_TRUE(bench.ask("b", "q").done);
  ASSERT_TRUE(bench.comes_to_be_idle("a") && bench.comes_to_be_idle("b"));
  bench.clock().advance(seconds(601));
  EXPECT_TRUE(bench.wait_for_state("b", "cold"));
  EXPECT_EQ(bench.entry("a").state, "ready");
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.unload_reasons(), (std::vector<std::string>{"expired", "expired", "shutdown"}));
}

TEST_F(ResidenceTest, NoTenantTakesAwayWhatAnotherUses) {
  bench.add_model("m", kHello);
  bench.start();
  EXPECT_TRUE(ask("m", kForever, "ward-3").done);
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(ask("m", seconds(0), "ward-4").done);
    // The end of a request is noted just after its client sees it.
    std::this_thread::sleep_for(milliseconds(50));
  }
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.count(RecordType::kModelLoad), 1U);
}

TEST_F(ResidenceTest, PinnedModelMakesNoRoom) {
  bench.options.workers_max = 1;
  for (const char* name : {"a", "b"}) bench.add_model(name, kHello);
  bench.start();
  EXPECT_TRUE(bench.ask("a", "q").done);
  ASSERT_TRUE(order(ModelOrder::What::kPin, "a"));
  EXPECT_EQ(bench.ask("b", "q").code(), "busy");
  ASSERT_TRUE(order(ModelOrder::What::kUnpin, "a"));
  EXPECT_TRUE(bench.ask("b", "q").done);
  bench.expect_good_ledger_and_loads();
}

TEST_F(ResidenceTest, UnpinnedModelWhoseTimeIsOverGoes) {
  bench.options.keep_alive = seconds(60);
  bench.options.pin = {"m"};
  bench.add_model("m", kHello);
  bench.start();
  EXPECT_TRUE(bench.ask("m", "q").done);
  ASSERT_TRUE(bench.comes_to_be_idle("m"));
  bench.clock().advance(seconds(120));
  ASSERT_TRUE(order(ModelOrder::What::kUnpin, "m"));
  EXPECT_TRUE(bench.wait_for_state("m", "cold"));
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.unload_reasons(), std::vector<std::string>{"unpinned"});
}

TEST_F(ResidenceTest, LowerPriorityGoesFirst) {
  bench.options.workers_max = 2;
  bench.options.priorities = {{"a", 1}};
  for (const char* name : {"a", "b", "c"}) bench.add_model(name, kHello);
  bench.start();
  for (const char* name : {"a", "b"}) {  // a is the older one
    EXPECT_TRUE(bench.ask(name, "q").done);
    std::this_thread::sleep_for(milliseconds(50));
  }
  EXPECT_TRUE(bench.ask("c", "q").done);
  EXPECT_EQ(bench.entry("a").state, "ready");
  EXPECT_EQ(bench.entry("b").state, "cold");
  bench.expect_good_ledger_and_loads();
}

TEST_F(ResidenceTest, LoadsAtTheStartWhatItIsTold) {
  bench.options.preload = {"b", "absent", "a"};
  for (const char* name : {"a", "b", "c"}) bench.add_model(name, kHello);
  bench.start();
  EXPECT_TRUE(bench.wait_for_state("a", "ready"));
  EXPECT_TRUE(bench.wait_for_state("b", "ready"));
  EXPECT_EQ(bench.entry("c").state, "cold");
  bench.expect_good_ledger_and_loads();
}

// ---- orders -------------------------------------------------------------------------------------

TEST_F(ResidenceTest, OrdersAreRecorded) {
  bench.add_model("m", kHello);
  bench.start();
  using Order = ModelOrder::What;
  const auto loaded = order(Order::kLoad, "m");
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->state, "loading") << "it does not wait";
  EXPECT_TRUE(bench.wait_for_state("m", "ready"));
  EXPECT_TRUE(order(Order::kPin, "m")->residence.pinned);
  EXPECT_EQ(order(Order::kUnload, "m").error().code, Code::kConflict);
  EXPECT_FALSE(order(Order::kUnpin, "m")->residence.pinned);
  EXPECT_EQ(order(Order::kUnload, "m")->state, "cold");
  EXPECT_EQ(order(Order::kLoad, "nosuch").error().code, Code::kNotFound);
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.texts(RecordType::kAdminAction, key::admin_action::kAction),
            (std::vector<std::string>{"load", "pin", "unload", "unpin", "unload"}));
  EXPECT_EQ(bench.texts(RecordType::kAdminAction, key::admin_action::kOutcome),
            (std::vector<std::string>{"done", "done", "conflict", "done", "done"}));
  EXPECT_EQ(bench.unload_reasons(), std::vector<std::string>{"by_order"});
  EXPECT_EQ(decisions(), std::vector<std::string>{"by_order"});
}

TEST_F(ResidenceTest, UnloadWaitsForWhatRuns) {
  bench.add_model("m", "reply hello\ndelay_us_per_call 2000\n");
  bench.start();
  const auto stream = bench.submit("m", kLong);
  Answered answered;
  ASSERT_TRUE(read_some_text(*stream, answered));
  const auto ordered = order(ModelOrder::What::kUnload, "m");
  ASSERT_TRUE(ordered) << ordered.error().message;
  EXPECT_EQ(ordered->state, "ready");
  EXPECT_TRUE(ordered->residence.unloading);
  EXPECT_TRUE(read_some_text(*stream, answered)) << "it goes on";
  stream->cancel();
  EXPECT_EQ(read_all(*stream).code(), "cancelled");
  EXPECT_TRUE(bench.wait_for_state("m", "cold"));
  EXPECT_TRUE(bench.ask("m", "q").done) << "the order holds once";
  EXPECT_EQ(bench.entry("m").state, "ready");
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.unload_reasons(), (std::vector<std::string>{"by_order", "shutdown"}));
}

TEST_F(ResidenceTest, ForcedUnloadEndsWhatRuns) {
  bench.add_model("m", "reply hello\ndelay_us_per_call 2000\n");
  bench.options.pin = {"m"};
  bench.start();
  const auto stream = bench.submit("m", kLong);
  Answered answered;
  ASSERT_TRUE(read_some_text(*stream, answered));
  const auto ordered = order(ModelOrder::What::kUnload, "m", true);
  ASSERT_TRUE(ordered) << ordered.error().message;
  EXPECT_FALSE(ordered->residence.pinned);
  const Answered rest = read_all(*stream);
  EXPECT_EQ(rest.code(), "shutting_down");
  EXPECT_NE(rest.failed->error.message.find("operator"), std::string::npos);
  EXPECT_TRUE(bench.ask("m", "q").done);
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.unload_reasons(), (std::vector<std::string>{"by_order", "shutdown"}));
}

TEST_F(ResidenceTest, UnloadEndsALoadThatNobodyWaitsFor) {
  bench.add_model("m", kNeverReady);
  bench.start();
  ASSERT_TRUE(order(ModelOrder::What::kLoad, "m"));
  EXPECT_EQ(order(ModelOrder::What::kUnload, "m")->state, "cold");
  EXPECT_TRUE(bench.wait_for_no_workers());
  EXPECT_EQ(bench.entry("m").state, "cold") << "it is not loaded again";
  bench.expect_good_ledger_and_loads();
}

// ---- loads --------------------------------------------------------------------------------------

TEST_F(ResidenceTest, SlowLoadsHoldUpNobody) {
  bench.add_model("ready", kHello);
  for (const char* name : {"slow", "slower"}) bench.add_model(name, kNeverReady);
  bench.start();
  EXPECT_TRUE(bench.ask("ready", "q").done);
  const auto first = bench.submit("slow", "q");
  const auto second = bench.submit("slower", "q");
  for (const char* name : {"slow", "slower"}) ASSERT_TRUE(bench.wait_for_state(name, "loading"));
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(bench.ask("ready", "q").done);
  EXPECT_TRUE(comes_true([&] { return bench.worker_pids().size() == 3; })) << "side by side";
  for (const char* name : {"slow", "slower"}) EXPECT_EQ(bench.entry(name).state, "loading");
  bench.expect_good_ledger_and_loads();
}

TEST_F(ResidenceTest, WaitForALoadEnds) {
  bench.add_model("m", kNeverReady);
  bench.options.load_wait = seconds(30);
  bench.start();
  const auto first = bench.submit("m", "a");
  const auto second = bench.submit("m", "b");
  ASSERT_TRUE(comes_true([&] { return second->model_wait().has_value(); }));
  EXPECT_EQ(second->model_wait()->state, "loading");
  EXPECT_EQ(second->model_wait()->position, 1U);
  bench.clock().advance(seconds(31));
  for (const auto& stream : {first, second}) {
    const Answered answered = read_all(*stream);
    EXPECT_EQ(answered.code(), "model_loading");
    ASSERT_TRUE(answered.failed->error.wait);
    EXPECT_EQ(answered.failed->error.wait->state, "loading");
    EXPECT_GE(answered.failed->error.wait->seconds, 31U);
    EXPECT_TRUE(answered.failed->abort_record);
    EXPECT_FALSE(stream->model_wait());
  }
  EXPECT_EQ(bench.entry("m").state, "loading") << "the load goes on";
  GenerateCall call = bench.call("m", "c");
  call.load_wait = seconds(0);
  const auto at_once = bench.gateway().submit(std::move(call));
  ASSERT_TRUE(at_once);
  EXPECT_EQ(read_all(**at_once).code(), "model_loading");
  bench.expect_good_ledger_and_loads();
}

TEST_F(ResidenceTest, LoadGoesOnWithoutThoseWhoWaitedForIt) {
  bench.add_model("m", "reply hello\nload_ms 300\n");
  bench.start();
  const auto stream = bench.submit("m", "a");
  ASSERT_TRUE(bench.wait_for_state("m", "loading"));
  stream->cancel();
  EXPECT_EQ(read_all(*stream).code(), "cancelled");
  EXPECT_TRUE(bench.wait_for_state("m", "ready"));
  bench.expect_good_ledger_and_loads();
}

TEST_F(ResidenceTest, FailedLoadIsTriedLessAndLessOften) {
  bench.add_model("m", "fail_load io\n");
  bench.start();
  for (const std::uint32_t wait : {1U, 2U, 4U}) {
    const Answered tried = bench.ask("m", "q");
    EXPECT_EQ(tried.code(), "io");
    EXPECT_FALSE(tried.failed->error.wait) << "it was tried";
    const Answered refused = bench.ask("m", "q");
    EXPECT_EQ(refused.code(), "io");
    EXPECT_EQ(refused.failed->error.message, tried.failed->error.message);
    ASSERT_TRUE(refused.failed->error.wait);
    EXPECT_EQ(refused.failed->error.wait->state, "failed");
    EXPECT_LE(refused.failed->error.wait->estimate_seconds, wait);
    EXPECT_TRUE(comes_true([&] { return bench.wait_for_no_workers(); }));
    bench.clock().advance(seconds(wait));
  }
  EXPECT_TRUE(has_failed(3));
  EXPECT_EQ(bench.ask("m", "q").code(), "io");
  EXPECT_EQ(bench.entry("m").state, "failed");
  EXPECT_TRUE(bench.entry("m").residence.retry_seconds);
  ASSERT_TRUE(order(ModelOrder::What::kLoad, "m")) << "an operator need not wait";
  EXPECT_TRUE(comes_true([&] { return has_failed(5); }));
  bench.add_model("m", kHello);
  EXPECT_TRUE(bench.ask("m", "q").done) << "nothing is known of another file";
  bench.expect_good_ledger_and_loads();
}

TEST_F(ResidenceTest, FileThatCannotBeLoadedTakesNobodysPlaceAgain) {
  bench.options.workers_max = 1;
  bench.add_model("good", kHello);
  bench.add_model("broken", "fail_load corrupt\n");
  bench.start();
  EXPECT_EQ(bench.ask("broken", "q").code(), "model_corrupt");
  EXPECT_TRUE(bench.ask("good", "q").done);
  std::this_thread::sleep_for(milliseconds(50));  // its end is noted a moment later
  bench.clock().advance(seconds(10));
  EXPECT_EQ(bench.ask("broken", "q").code(), "model_corrupt");
  EXPECT_EQ(bench.entry("good").state, "ready");
  EXPECT_TRUE(has_failed(1)) << "it was not even tried";
  bench.expect_good_ledger_and_loads();
}

}  // namespace
}  // namespace aioss::runtime
