// Models that are replaced while they serve, with real workers and the fake engine.
#include "runtime/lives/replacement.h"

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include <gtest/gtest.h>

#include "ledger/format/record.h"
#include "runtime/testing/test_bench.h"

namespace aioss::runtime {
namespace {

namespace key = ledger::key;
using ledger::RecordType;
using std::chrono::milliseconds;
using testing::Answered;
using testing::comes_true;
using testing::read_all;
using testing::read_some_text;

class ReplacementTest : public ::testing::Test {
 protected:
  void SetUp() override { bench.add_model("m", "reply one\ndelay_us_per_call 2000\n"); }

  // As `mv` does it: the file that is open stays as it is.
  void exchange(const std::string& script) {
    std::ofstream(bench.model_path("m.new")) << "aioss-fake 1\n" << script;
    std::filesystem::rename(bench.model_path("m.new"), bench.model_path("m.fake"));
    ASSERT_TRUE(bench.gateway().rescan(Principal()));
  }
  std::shared_ptr<Stream> long_stream() {
    auto stream = bench.submit("m", "[[long 100000]]");
    Answered answered;
    EXPECT_TRUE(read_some_text(*stream, answered)) << answered.code();
    return stream;
  }
  bool comes_to_say(const std::string& text) {
    return comes_true([&] {
      const Answered answered = bench.ask("m", "q");
      return !answered.text.empty() && answered.text.front() == text;
    });
  }
  // "replacement chosen beside": how often it was decided.
  std::map<std::string, std::uint64_t> replacements() {
    std::map<std::string, std::uint64_t> found;
    for (const ledger::Record& record : bench.records()) {
      if (record.type != RecordType::kDecision) continue;
      const std::string kind = *record.body.get_text(key::decision::kKind, "");
      if (kind != ledger::decision_kind::kReplacement) continue;
      found[*record.body.get_text(key::decision::kOutcome, "") + " " +
            *record.body.get_text(key::decision::kReason, "")] +=
          *record.body.get_uint(key::decision::kCount, "");
    }
    return found;
  }
  // Of m.toml: a letter a stream.
  void settings_of_files() {
    bench.options.parse_model_settings = [](std::string_view text, const std::string&) {
      ModelSettings settings;
      settings.parallel = static_cast<std::uint32_t>(text.size());
      return Result<ModelSettings>(settings);
    };
  }
  void want_streams(std::size_t count) {
    std::ofstream(bench.model_path("m.toml")) << std::string(count, 'x');
    ASSERT_TRUE(bench.gateway().rescan(Principal()));
  }
  std::uint32_t streams() {
    const auto entry = bench.gateway().load("m", nullptr);
    return entry && entry->facts ? entry->facts->streams : 0;
  }
  std::optional<Error> last_error() { return bench.entry("m").last_error; }

  testing::TestBench bench;
};

using Found = std::map<std::string, std::uint64_t>;

TEST_F(ReplacementTest, TheNewFileServesWhileTheOldOneEndsItsStreams) {
  bench.start();
  const auto old = long_stream();
  exchange("reply two\n");
  ASSERT_TRUE(comes_to_say("two"));
  Answered more;
  EXPECT_TRUE(read_some_text(*old, more)) << more.code();
  EXPECT_EQ(bench.worker_pids().size(), 2U);
  old->cancel();
  EXPECT_EQ(read_all(*old).code(), "cancelled");
  EXPECT_TRUE(comes_true([&] { return bench.worker_pids().size() == 1; }));
  EXPECT_EQ(bench.ask("m", "q").text.at(0), "two");
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(replacements(), (Found{{"chosen beside", 1}}));
  EXPECT_EQ(bench.unload_reasons(), (std::vector<std::string>{"new_file", "shutdown"}));
  const auto endpoints = bench.texts(RecordType::kInferRequest, key::infer_request::kEndpoint);
  EXPECT_EQ(std::count(endpoints.begin(), endpoints.end(), "canary"), 1)
      << "the canary is an inference, and recorded";
}

TEST_F(ReplacementTest, ANewFileThatCannotBeLoadedTakesNothingAway) {
  bench.start();
  ASSERT_TRUE(comes_to_say("one"));
  exchange("reply two\nfail_load corrupt\n");
  ASSERT_TRUE(comes_true([&] { return last_error().has_value(); }));
  EXPECT_EQ(bench.ask("m", "q").text.at(0), "one");
  exchange("reply three\n");
  ASSERT_TRUE(comes_to_say("three"));
  bench.expect_good_ledger_and_loads();
  const Found found = replacements();
  EXPECT_GE(found.at("failed model_corrupt"), 1U);
  EXPECT_EQ(found.at("chosen beside"), 1U);
}

// It loads, but has no room for the canary's prompt and answer.
TEST_F(ReplacementTest, ANewFileThatFailsItsCanaryTakesNothingAway) {
  bench.start();
  ASSERT_TRUE(comes_to_say("one"));
  exchange("reply two\ncontext 16\n");
  ASSERT_TRUE(comes_true([&] { return last_error().has_value(); }));
  EXPECT_NE(last_error()->message.find("canary"), std::string::npos) << last_error()->message;
  EXPECT_EQ(bench.ask("m", "q").text.at(0), "one");
  EXPECT_TRUE(comes_true([&] { return bench.worker_pids().size() == 1; }));
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(replacements().count("chosen beside"), 0U);
  EXPECT_EQ(bench.unload_reasons().front(), "load_failed");
}

TEST_F(ReplacementTest, WithoutRoomForBothTheyTakeTurns) {
  bench.options.workers_max = 1;
  bench.start();
  const auto old = long_stream();
  exchange("reply two\n");
  const auto waiting = bench.submit("m", "q");
  EXPECT_FALSE(waiting->next_for(milliseconds(300)).has_value()) << "the old one takes no more";
  Answered more;
  EXPECT_TRUE(read_some_text(*old, more)) << more.code();
  old->cancel();
  EXPECT_EQ(read_all(*waiting).text.at(0), "two");
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(replacements(), (Found{{"chosen in_turn", 1}}));
  EXPECT_EQ(bench.unload_reasons(), (std::vector<std::string>{"new_file", "shutdown"}));
}

TEST_F(ReplacementTest, WhatDrainedIsLoadedAgainThoughNobodyAsks) {
  bench.options.workers_max = 1;
  bench.start();
  ASSERT_TRUE(comes_to_say("one"));
  exchange("reply two\n");
  EXPECT_TRUE(comes_true([&] { return bench.count(RecordType::kModelLoad) == 2; }));
  EXPECT_TRUE(bench.wait_for_state("m", "ready"));
  bench.expect_good_ledger_and_loads();
}

TEST_F(ReplacementTest, OtherSettingsReplaceALoadedModel) {
  settings_of_files();
  bench.start();
  ASSERT_TRUE(comes_to_say("one"));
  want_streams(5);
  EXPECT_TRUE(comes_true([&] { return streams() == 5; }));
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(replacements(), (Found{{"chosen beside", 1}}));
}

// The file is the same, so what the old one had begun the new one can go on with.
TEST_F(ReplacementTest, StreamsOfAnOldOneThatDiesGoOnWithTheNewOne) {
  settings_of_files();
  bench.start();
  const auto old = bench.submit("m", "[[long 400]]");
  Answered answered;
  ASSERT_TRUE(read_some_text(*old, answered)) << answered.code();
  const std::vector<int> pids = bench.worker_pids();
  want_streams(5);
  ASSERT_TRUE(comes_true([&] { return streams() == 5; }));
  for (const int pid : pids) ::kill(pid, SIGKILL);
  EXPECT_TRUE(read_all(*old).done) << "nobody gave it to the one that serves";
  bench.expect_good_ledger_and_loads();
}

// A load after a kill is one with the same settings: the next look at the folder changes nothing.
TEST_F(ReplacementTest, WhatGoesOnAfterAKillIsNotReplaced) {
  settings_of_files();
  std::ofstream(bench.model_path("m.toml")) << "12345";
  bench.start();
  const auto stream = bench.submit("m", "[[long 400]]");
  Answered answered;
  ASSERT_TRUE(read_some_text(*stream, answered)) << answered.code();
  ASSERT_EQ(bench.kill_workers(), 1);
  EXPECT_TRUE(read_all(*stream).done);
  ASSERT_TRUE(bench.gateway().rescan(Principal()));
  EXPECT_EQ(bench.ask("m", "q").text.at(0), "one");
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.count(RecordType::kModelLoad), 2U);
  EXPECT_EQ(replacements(), Found{});
}

TEST_F(ReplacementTest, TheNewOneGoesOnIfTheOldOneDiesMeanwhile) {
  bench.start();
  ASSERT_TRUE(comes_to_say("one"));
  const std::vector<int> old = bench.worker_pids();
  exchange("reply two\nload_ms 500\n");
  ASSERT_TRUE(comes_true([&] { return bench.worker_pids().size() == 2; }));
  for (const int pid : old) ::kill(pid, SIGKILL);
  EXPECT_TRUE(comes_to_say("two"));
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(bench.count(RecordType::kModelLoad), 2U) << "the one that was coming is used";
}

TEST_F(ReplacementTest, AnOrderToUnloadEndsBoth) {
  bench.start();
  ASSERT_TRUE(comes_to_say("one"));
  exchange("reply two\nload_ms 30000\n");
  ASSERT_TRUE(comes_true([&] { return bench.worker_pids().size() == 2; }));
  ModelOrder order;
  order.model = "m";
  order.what = ModelOrder::What::kUnload;
  ASSERT_TRUE(bench.gateway().order(order));
  EXPECT_TRUE(bench.wait_for_no_workers());
  EXPECT_TRUE(bench.wait_for_state("m", "cold"));
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(replacements(), Found{});
}

TEST_F(ReplacementTest, AFileThatChangesAgainWhileItIsLoadedIsNotUsed) {
  bench.start();
  ASSERT_TRUE(comes_to_say("one"));
  exchange("reply two\nload_ms 30000\n");
  ASSERT_TRUE(comes_true([&] { return bench.worker_pids().size() == 2; }));
  exchange("reply three\n");
  EXPECT_TRUE(comes_to_say("three"));
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(replacements(), (Found{{"chosen beside", 1}}));
}

TEST_F(ReplacementTest, ShutdownEndsWhatIsComingAndWhatLeaves) {
  bench.start();
  const auto old = long_stream();
  exchange("reply two\nload_ms 30000\n");
  ASSERT_TRUE(comes_true([&] { return bench.worker_pids().size() == 2; }));
  bench.expect_good_ledger_and_loads();
  EXPECT_EQ(read_all(*old).code(), "shutting_down");
}

}  // namespace
}  // namespace aioss::runtime
