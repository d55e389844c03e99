// Models that are switched from one engine to another while they serve, with real workers and the
// fake engine under several names.
#include "runtime/lives/engine_switches.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "ledger/format/record.h"
#include "runtime/testing/other_engines.h"
#include "runtime/testing/test_bench.h"

namespace aioss::runtime {
namespace {

namespace key = ledger::key;
using ledger::RecordType;
using testing::Answered;
using testing::comes_true;
using testing::read_all;
using testing::read_some_text;
using What = EngineOrder::What;

constexpr const char* kFake = "fake";

class EngineSwitchTest : public ::testing::Test {
 protected:
  void SetUp() override {
    bench.add_model("m", "reply one\ndelay_us_per_call 1000\n");
    bench.options.parallel = 8;
    bench.options.engines = std::make_shared<plugins::EngineTable>(
        std::vector{image(kFake), image(testing::kSameEngine), image(testing::kOddEngine),
                    image(testing::kCrashingEngine), image("fake-missing")});
  }

  static plugins::EngineImage image(const std::string& name) {
    plugins::EngineImage out;
    out.name = name;
    out.format = plugins::ModelFormat::kScript;
    out.is_linked = true;
    out.origin = "linked";
    return out;
  }
  Result<ModelEntry> order(What what, const std::string& engine = "") {
    EngineOrder order;
    order.what = what;
    order.model = "m";
    order.engine = engine;
    order.by.source = "local";
    return bench.gateway().order_engine(order);
  }
  Result<ModelEntry> order_model(ModelOrder::What what, const std::string& model) {
    ModelOrder order;
    order.what = what;
    order.model = model;
    order.by.role = Role::kOperator;
    return bench.gateway().order(order);
  }
  EngineStatus status() { return bench.entry("m").engine_status; }
  // How the order ended.
  std::string outcome_of(What what, const std::string& engine = "") {
    const auto given = order(what, engine);
    if (!given) return std::string(info(given.error().code).name);
    const std::uint64_t number = given->engine_status.orders;
    std::string outcome;
    EXPECT_TRUE(comes_true([&] {
      const EngineStatus now = status();
      outcome = now.outcome;
      return now.orders == number && !outcome.empty();
    })) << status().step;
    return outcome;
  }
  std::string engine_in_use() {
    const auto facts = bench.entry("m").facts;
    return facts ? facts->engine.name : "";
  }
  std::vector<std::string> switch_records() {
    std::vector<std::string> found;
    for (const ledger::Record& record : bench.records()) {
      if (record.type != RecordType::kDecision) continue;
      if (*record.body.get_text(key::decision::kKind, "") != ledger::decision_kind::kEngineSwitch) {
        continue;
      }
      found.push_back(*record.body.get_text(key::decision::kOutcome, "") + " " +
                      *record.body.get_text(key::decision::kReason, ""));
    }
    return found;
  }
  bool is_recorded(const std::string& what) {
    const auto found = switch_records();
    return std::find(found.begin(), found.end(), what) != found.end();
  }
  std::shared_ptr<Stream> begun_stream(const std::string& prompt) {
    auto stream = bench.submit("m", prompt);
    Answered answered;
    EXPECT_TRUE(read_some_text(*stream, answered)) << answered.code();
    begun_text += answered.text.empty() ? "" : answered.text.front();
    return stream;
  }

  // A stream moves, and its answer is what it would have been.
  Answered rest_after_a_switch() {
    const std::string whole = bench.ask("m", "[[long 3000]]").text.at(0);
    const auto stream = begun_stream("[[long 3000]]");
    EXPECT_EQ(outcome_of(What::kSwitch, testing::kSameEngine), "done") << status().reason;
    Answered rest = read_all(*stream);
    EXPECT_TRUE(rest.done) << rest.code();
    EXPECT_EQ(rest.done ? begun_text + rest.text.at(0) : "", whole);
    return rest;
  }

  testing::TestBench bench;
  std::string begun_text;
};

TEST_F(EngineSwitchTest, RunningStreamsMoveAndLoseOrDoubleNothing) {
  bench.start();
  const std::string whole = bench.ask("m", "[[long 3000]]").text.at(0);
  std::vector<std::shared_ptr<Stream>> streams;
  std::vector<std::string> begun;
  for (int i = 0; i < 6; ++i) {
    begun_text.clear();  // prompts that begin alike would share what is computed of the first
    streams.push_back(begun_stream(std::to_string(i) + " asks [[long 3000]]"));
    begun.push_back(begun_text);
  }
  EXPECT_EQ(outcome_of(What::kSwitch, testing::kSameEngine), "done") << status().reason;
  EXPECT_EQ(engine_in_use(), testing::kSameEngine);
  EXPECT_NE(status().reason.find("same="), std::string::npos) << status().reason;
  EXPECT_NE(status().reason.find("streams moved: "), std::string::npos) << status().reason;
  EXPECT_EQ(status().reason.find("streams moved: 0"), std::string::npos) << status().reason;
  for (std::size_t i = 0; i < streams.size(); ++i) {
    const Answered rest = read_all(*streams[i]);
    ASSERT_TRUE(rest.done) << rest.code();
    EXPECT_EQ(begun[i] + rest.text.at(0), whole);
    EXPECT_EQ(rest.done->completion_tokens, whole.size());
    EXPECT_GT(rest.done->cached_tokens, 0U) << "computed ahead, while the old one still answered";
  }
  EXPECT_TRUE(comes_true([&] { return bench.worker_pids().size() == 1; }));
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.count(RecordType::kInferAbort), 0U);
  EXPECT_TRUE(is_recorded("chosen ordered"));
  EXPECT_TRUE(is_recorded("chosen canary_passed"));
  const auto actions = bench.texts(RecordType::kAdminAction, key::admin_action::kAction);
  EXPECT_EQ(actions, std::vector<std::string>{"engine_switch"});
}

TEST_F(EngineSwitchTest, WithoutMemoryForPrefixesStreamsMoveAllTheSame) {
  bench.options.prefix_bytes = 0;
  bench.start();
  const Answered rest = rest_after_a_switch();
  ASSERT_TRUE(rest.done);
  EXPECT_EQ(rest.done->cached_tokens, 0U);
}

// Each has its own tokens behind the prompt: that alone is computed ahead, once.
TEST_F(EngineSwitchTest, AStreamOfSeveralChoicesMoves) {
  bench.start();
  GenerateCall call = bench.call("m", "[[long 600]]");
  call.request.choices = 3;
  const auto submitted = bench.gateway().submit(std::move(call));
  ASSERT_TRUE(submitted);
  const std::shared_ptr<Stream>& stream = *submitted;
  Answered answered;
  ASSERT_TRUE(read_some_text(*stream, answered)) << answered.code();
  EXPECT_EQ(outcome_of(What::kSwitch, testing::kSameEngine), "done") << status().reason;
  const Answered rest = read_all(*stream);
  ASSERT_TRUE(rest.done) << rest.code();
  EXPECT_EQ(rest.done->completion_tokens, 3 * bench.ask("m", "[[long 600]]").text.at(0).size());
}

// The clients leave while the new worker computes what they would have gone on from: a worker that
// is idle in the end has let go of it.
TEST_F(EngineSwitchTest, ClientsThatLeaveWhileTheyMoveLeaveNothingBehind) {
  bench.start();
  std::vector<std::shared_ptr<Stream>> streams;
  for (int i = 0; i < 4; ++i) {
    streams.push_back(begun_stream(std::to_string(i) + std::string(2000, 'x') + "[[long 3000]]"));
  }
  const auto given = order(What::kSwitch, testing::kSameEngine);
  ASSERT_TRUE(given);
  EXPECT_TRUE(comes_true([&] { return status().step == "moving" || !status().outcome.empty(); }));
  for (const auto& stream : streams) stream->cancel();
  for (const auto& stream : streams) (void)read_all(*stream);
  EXPECT_TRUE(comes_true([&] { return status().outcome == "done"; })) << status().step;
  EXPECT_TRUE(bench.comes_to_be_idle("m"));
  bench.expect_good_ledger_and_loads();
}

// There and back under load.
TEST_F(EngineSwitchTest, ManySwitchesUnderStreams) {
  bench.start();
  const std::string whole = bench.ask("m", "[[long 3500]]").text.at(0);
  std::vector<std::shared_ptr<Stream>> streams;
  for (int i = 0; i < 4; ++i) streams.push_back(bench.submit("m", "[[long 3500]]"));
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(outcome_of(What::kSwitch, i % 2 == 0 ? testing::kSameEngine : kFake), "done")
        << status().reason;
  }
  for (const auto& stream : streams) {
    const Answered answered = read_all(*stream);
    ASSERT_TRUE(answered.done) << answered.code();
    EXPECT_EQ(answered.text.at(0), whole);
    EXPECT_EQ(answered.done->completion_tokens, whole.size());
  }
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.count(RecordType::kInferAbort), 0U);
}

TEST_F(EngineSwitchTest, OneThatComputesSomethingElseFailsItsCanary) {
  bench.start();
  const auto stream = begun_stream("[[long 3000]]");
  EXPECT_EQ(outcome_of(What::kSwitch, testing::kOddEngine), "failed");
  EXPECT_NE(status().reason.find("computes something else"), std::string::npos) << status().reason;
  EXPECT_EQ(status().engine, kFake);
  EXPECT_EQ(engine_in_use(), kFake);
  EXPECT_TRUE(read_all(*stream).done);
  EXPECT_TRUE(comes_true([&] { return bench.worker_pids().size() == 1; }));
  EXPECT_EQ(bench.ask("m", "q").text.at(0), "one");
  EXPECT_EQ(order(What::kRollback).error().code, Code::kConflict) << "nothing was switched";
  bench.expect_good_ledger_and_loads();
  EXPECT_TRUE(is_recorded("failed engine_failed"));
}

TEST_F(EngineSwitchTest, OneThatCannotBeLoadedTakesNothingAway) {
  bench.start();
  ASSERT_EQ(bench.ask("m", "q").text.at(0), "one");
  EXPECT_EQ(outcome_of(What::kSwitch, "fake-missing"), "failed");
  EXPECT_EQ(engine_in_use(), kFake);
  EXPECT_EQ(bench.ask("m", "q").text.at(0), "one");
  bench.expect_good_ledger_and_loads();
}

TEST_F(EngineSwitchTest, AnUnknownEngineIsRefusedWithTheNamesOfThoseThatThereAre) {
  bench.start();
  const auto refused = order(What::kSwitch, "fake-sane");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kNotFound);
  EXPECT_NE(refused.error().message.find("fake-same"), std::string::npos);
  EXPECT_NE(refused.error().message.find("fake-odd"), std::string::npos);
  EXPECT_EQ(order(What::kRollback).error().code, Code::kConflict);
  EXPECT_TRUE(status().outcome.empty());
}

TEST_F(EngineSwitchTest, TwoCrashesAfterItTookOverLeadBack) {
  bench.start();
  const std::string whole = bench.ask("m", "[[long 2500]]").text.at(0);
  std::vector<std::shared_ptr<Stream>> streams;
  for (int i = 0; i < 3; ++i) streams.push_back(bench.submit("m", "[[long 2500]]"));
  ASSERT_TRUE(order(What::kSwitch, testing::kCrashingEngine));
  for (const auto& stream : streams) {
    const Answered answered = read_all(*stream);
    ASSERT_TRUE(answered.done) << answered.code() << " " << answered.failed->error.message;
    EXPECT_EQ(answered.text.at(0), whole);
  }
  const Answered more = bench.ask("m", "[[long 2500]]");
  ASSERT_TRUE(more.done) << more.code();
  EXPECT_EQ(more.text.at(0), whole);
  EXPECT_TRUE(comes_true([&] { return status().outcome == "rolled_back"; })) << status().step;
  EXPECT_NE(status().reason.find("crashed 2 times"), std::string::npos) << status().reason;
  EXPECT_EQ(engine_in_use(), kFake);
  bench.expect_good_ledger_and_loads();
  EXPECT_TRUE(is_recorded("chosen rolled_back"));
  EXPECT_EQ(bench.count(RecordType::kInferAbort), 0U);
}

TEST_F(EngineSwitchTest, ARollbackLeadsToTheOneBefore) {
  bench.start();
  ASSERT_EQ(bench.ask("m", "q").text.at(0), "one");
  ASSERT_EQ(outcome_of(What::kSwitch, testing::kSameEngine), "done");
  EXPECT_EQ(status().before, kFake);
  EXPECT_EQ(outcome_of(What::kRollback), "done");
  EXPECT_EQ(engine_in_use(), kFake);
  EXPECT_EQ(order(What::kRollback).error().code, Code::kConflict);
  EXPECT_EQ(order(What::kSwitch, "nosuch").error().code, Code::kNotFound);
  bench.expect_good_ledger_and_loads();
  // The orders say what was wanted, and the decisions what came of it.
  EXPECT_EQ(bench.texts(RecordType::kAdminAction, key::admin_action::kOutcome),
            std::vector<std::string>(4, "ordered"));
  EXPECT_TRUE(is_recorded("refused conflict"));
  EXPECT_TRUE(is_recorded("refused not_found"));
}

TEST_F(EngineSwitchTest, ARollbackOfAPinTakesItAway) {
  bench.start();
  ASSERT_EQ(bench.ask("m", "q").text.at(0), "one");
  ASSERT_EQ(outcome_of(What::kPin, testing::kSameEngine), "done");
  EXPECT_EQ(outcome_of(What::kRollback), "done");
  EXPECT_FALSE(status().pinned);
  EXPECT_EQ(engine_in_use(), kFake);
  bench.finish();
  EXPECT_TRUE(is_recorded("chosen unpinned"));
}

TEST_F(EngineSwitchTest, APinThatIsTakenAwayDuringASwitchDoesNotComeBackWhenThatFails) {
  bench.start();
  ASSERT_EQ(bench.ask("m", "q").text.at(0), "one");
  ASSERT_EQ(outcome_of(What::kPin, testing::kSameEngine), "done");
  ASSERT_TRUE(order(What::kPin, testing::kOddEngine));
  ASSERT_TRUE(order(What::kUnpin));
  ASSERT_TRUE(comes_true([&] { return status().outcome == "failed"; })) << status().outcome;
  EXPECT_FALSE(status().pinned);
  EXPECT_EQ(engine_in_use(), testing::kSameEngine);
}

// A model that was cold was loaded without a canary, by one that computes something else.
TEST_F(EngineSwitchTest, TheOneThatIsDoubtedDoesNotRefuseTheWayBack) {
  bench.start();
  ASSERT_TRUE(order(What::kSwitch, testing::kOddEngine));
  ASSERT_TRUE(bench.ask("m", "q").ended());
  ASSERT_EQ(engine_in_use(), testing::kOddEngine);
  EXPECT_EQ(outcome_of(What::kRollback), "done") << status().reason;
  EXPECT_EQ(engine_in_use(), kFake);
  EXPECT_EQ(bench.ask("m", "q").text.at(0), "one");
  bench.expect_good_ledger_and_loads();
}

TEST_F(EngineSwitchTest, APinOutlivesTheServerAndASwitchDoesNot) {
  bench.start();
  ASSERT_EQ(bench.ask("m", "q").text.at(0), "one");
  ASSERT_EQ(outcome_of(What::kPin, testing::kSameEngine), "done");
  EXPECT_TRUE(status().pinned);
  EXPECT_EQ(order(What::kSwitch, kFake).error().code, Code::kConflict);
  bench.finish();
  bench.start();
  EXPECT_EQ(status().engine, testing::kSameEngine) << "before it is loaded";
  ASSERT_EQ(bench.ask("m", "q").text.at(0), "one");
  EXPECT_EQ(engine_in_use(), testing::kSameEngine);
  ASSERT_TRUE(order(What::kUnpin));
  bench.finish();
  EXPECT_TRUE(is_recorded("chosen unpinned"));
  bench.start();
  ASSERT_EQ(bench.ask("m", "q").text.at(0), "one");
  EXPECT_EQ(engine_in_use(), kFake);
  ASSERT_EQ(outcome_of(What::kSwitch, testing::kSameEngine), "done");
  bench.finish();
  bench.start();
  ASSERT_EQ(bench.ask("m", "q").text.at(0), "one");
  EXPECT_EQ(engine_in_use(), kFake);
}

TEST_F(EngineSwitchTest, APinIsTakenFromAModelWhoseFileIsGone) {
  bench.add_model("n", "reply one\n");
  bench.start();
  ASSERT_TRUE(order(What::kPin, testing::kSameEngine));
  bench.finish();
  std::filesystem::remove(bench.model_path("m.fake"));
  bench.start();
  EXPECT_EQ(order(What::kPin, testing::kSameEngine).error().code, Code::kNotFound);
  EXPECT_TRUE(order(What::kUnpin));
  bench.finish();
  bench.add_model("m", "reply one\n");
  bench.start();
  EXPECT_EQ(status().engine, kFake);
  EXPECT_FALSE(status().pinned);
}

// What promises the same bytes goes on where it began.
TEST_F(EngineSwitchTest, ReproducibleStreamsEndWhereTheyAre) {
  bench.options.profile = ipc::Profile::kReproducible;
  bench.start();
  const std::string whole = bench.ask("m", "[[long 600]]").text.at(0);
  const auto stream = begun_stream("[[long 600]]");
  const std::vector<int> before = bench.worker_pids();
  EXPECT_EQ(outcome_of(What::kSwitch, testing::kSameEngine), "done") << status().reason;
  EXPECT_NE(status().reason.find("streams moved: 0"), std::string::npos) << status().reason;
  EXPECT_EQ(engine_in_use(), testing::kSameEngine);
  const Answered rest = read_all(*stream);
  ASSERT_TRUE(rest.done) << rest.code();
  EXPECT_EQ(begun_text + rest.text.at(0), whole);
  EXPECT_TRUE(comes_true([&] {
    const auto now = bench.worker_pids();
    return now.size() == 1 && now != before;
  }));
  bench.expect_good_ledger_and_loads();
}

// Of a worker that dies meanwhile: another engine would not go on with the same bytes.
TEST_F(EngineSwitchTest, AReproducibleStreamIsNotGoneOnWithByAnotherEngine) {
  bench.options.profile = ipc::Profile::kReproducible;
  bench.start();
  const auto stream = begun_stream("[[long 100000]]");
  const std::vector<int> old = bench.worker_pids();
  ASSERT_EQ(outcome_of(What::kSwitch, testing::kSameEngine), "done") << status().reason;
  for (const int pid : old) ::kill(pid, SIGKILL);
  const Answered ended = read_all(*stream);
  EXPECT_EQ(ended.code(), "worker_died");
  EXPECT_NE(ended.failed->error.message.find("engine or settings are others"), std::string::npos);
  bench.expect_good_ledger_and_loads();
}

TEST_F(EngineSwitchTest, WithoutRoomForBothStreamsWaitForTheNewOne) {
  bench.options.workers_max = 1;
  bench.start();
  ASSERT_TRUE(rest_after_a_switch().done);
  EXPECT_EQ(engine_in_use(), testing::kSameEngine);
  bench.expect_good_ledger_and_loads();
  EXPECT_TRUE(is_recorded("chosen in_turn"));
}

TEST_F(EngineSwitchTest, WithoutRoomForBothOneThatCannotBeLoadedIsLeftAgain) {
  bench.options.workers_max = 1;
  bench.start();
  const std::string whole = bench.ask("m", "[[long 3000]]").text.at(0);
  const auto stream = begun_stream("[[long 3000]]");
  EXPECT_EQ(outcome_of(What::kSwitch, "fake-missing"), "rolled_back") << status().reason;
  const Answered rest = read_all(*stream);
  ASSERT_TRUE(rest.done) << rest.code() << " " << rest.failed->error.message;
  EXPECT_EQ(begun_text + rest.text.at(0), whole);
  EXPECT_EQ(engine_in_use(), kFake);
  bench.expect_good_ledger_and_loads();
}

TEST_F(EngineSwitchTest, OneThatDoesNotFitEvenAloneTakesNothingAway) {
  bench.options.memory_max = std::uint64_t{1} << 20;
  bench.add_model("m",
                  "reply one\ndelay_us_per_call 1000\nweight_bytes 600000\n"
                  "# plan of fake-same 2000000\n");
  bench.start();
  const std::string whole = bench.ask("m", "[[long 1000]]").text.at(0);
  const auto stream = begun_stream("[[long 1000]]");
  const std::vector<int> before = bench.worker_pids();
  EXPECT_EQ(outcome_of(What::kSwitch, testing::kSameEngine), "failed") << status().reason;
  const Answered rest = read_all(*stream);
  ASSERT_TRUE(rest.done) << rest.code();
  EXPECT_EQ(begun_text + rest.text.at(0), whole);
  EXPECT_EQ(bench.ask("m", "q").text.at(0), "one");
  EXPECT_EQ(bench.worker_pids(), before);
}

// Alone it would fit, and another model is there that does not go.
TEST_F(EngineSwitchTest, WithoutRoomForTheNewOneTheOldOneComesBack) {
  bench.options.memory_max = 100'000'000;
  bench.add_model("pinned", "reply two\nweight_bytes 40000000\n");
  bench.add_model("m",
                  "reply one\ndelay_us_per_call 1000\nweight_bytes 40000000\n"
                  "# plan of fake-same 80000000\n");
  bench.start();
  ASSERT_TRUE(order_model(ModelOrder::What::kPin, "pinned"));
  ASSERT_EQ(bench.ask("pinned", "q").text.at(0), "two");
  const std::string whole = bench.ask("m", "[[long 1000]]").text.at(0);
  const auto stream = begun_stream("[[long 1000]]");
  EXPECT_EQ(outcome_of(What::kSwitch, testing::kSameEngine), "rolled_back") << status().reason;
  const Answered rest = read_all(*stream);
  ASSERT_TRUE(rest.done) << rest.code() << " " << rest.failed->error.message;
  EXPECT_EQ(begun_text + rest.text.at(0), whole);
  EXPECT_EQ(bench.ask("m", "q").text.at(0), "one");
  EXPECT_EQ(engine_in_use(), kFake);
  bench.expect_good_ledger_and_loads();
}

// The drain of an in-turn switch is ended by an order to unload: what was taken back from the
// worker, which has not said its last of it yet, goes on there.
TEST_F(EngineSwitchTest, AStreamComesBackToTheWorkerThatItWasTakenFrom) {
  bench.options.workers_max = 1;
  bench.add_model("m", "reply one\ndelay_us_per_call 700000\n");
  bench.start();
  const auto stream = begun_stream("[[long 4]]");
  ASSERT_TRUE(order(What::kSwitch, testing::kSameEngine));
  ASSERT_TRUE(comes_true([&] { return stream->model_wait().has_value(); }));
  ASSERT_TRUE(order_model(ModelOrder::What::kUnload, "m"));
  const Answered rest = read_all(*stream);
  EXPECT_TRUE(rest.done) << rest.code();
  bench.expect_good_ledger_and_loads();
}

// Parked, and it waits for the room of another one to wake.
TEST_F(EngineSwitchTest, AnOrderThatComesWhileTheModelWakesIsUndoneIfItFails) {
  bench.options.prefix_bytes = bench.options.spill_bytes = 0;
  bench.options.memory_max = 14'000'000;
  bench.add_model("m", "reply one\nweight_bytes 1000000\n# plan kv 3000000\n");
  bench.add_model("large",
                  "reply two\ndelay_us_per_call 2000\nweight_bytes 1000000\n"
                  "# plan kv 10000000\n");
  bench.start();
  ASSERT_EQ(bench.ask("m", "q").text.at(0), "one");
  ASSERT_TRUE(bench.comes_to_be_idle("m"));
  const auto running = bench.submit("large", "[[long 100000]]");
  Answered answered;
  ASSERT_TRUE(read_some_text(*running, answered)) << answered.code();
  ASSERT_EQ(bench.entry("m").state, "warm");
  const auto waiting = bench.submit("m", "q");
  ASSERT_TRUE(order(What::kSwitch, "fake-missing"));
  running->cancel();
  (void)read_all(*waiting);
  // If all of that took so long that it was refused, the next one wakes the model.
  EXPECT_TRUE(comes_true([&] {
    (void)bench.ask("m", "q");
    return !status().outcome.empty();
  })) << status().step;
  EXPECT_EQ(status().engine, kFake);
  EXPECT_EQ(bench.ask("m", "q").text.at(0), "one");
  EXPECT_EQ(engine_in_use(), kFake);
  bench.expect_good_ledger_and_loads();
}

TEST_F(EngineSwitchTest, AModelThatIsColdIsLoadedWithTheOther) {
  bench.start();
  ASSERT_TRUE(order(What::kSwitch, testing::kSameEngine));
  EXPECT_EQ(status().step, "waiting");
  ASSERT_EQ(bench.ask("m", "q").text.at(0), "one");
  EXPECT_EQ(engine_in_use(), testing::kSameEngine);
  EXPECT_EQ(status().outcome, "done");
  bench.expect_good_ledger_and_loads();
}

// Of the same file under two names: what one engine cannot compute, another may.
TEST_F(EngineSwitchTest, AQuarantineOfAColdModelIsOfItsEngine) {
  bench.options.model_settings["n"].engine = testing::kSameEngine;
  std::filesystem::create_hard_link(bench.model_path("m.fake"), bench.model_path("n.fake"));
  bench.start();
  for (const char* model : {"m", "n"}) {
    EXPECT_EQ(bench.ask(model, "[[crash 3]]").code(), "worker_died") << model;
    EXPECT_TRUE(bench.wait_for_no_workers());
    EXPECT_EQ(bench.ask(model, "[[crash 3]]").code(), "forbidden") << model;
  }
  bench.expect_good_ledger_and_loads();
}

}  // namespace
}  // namespace aioss::runtime
