// Measuring in real confined children, over scripts of the fake engine.
#include "runtime/tuning/tune_runs.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/clock.h"
#include "os/clock.h"
#include "runtime/tuning/tuner.h"

namespace aioss::runtime {
namespace {

class TuneBenchTest : public ::testing::Test {
 protected:
  TuneBenchTest() {
    folder_ = ::testing::TempDir() + "/tune-" + std::to_string(getpid()) + "-" +
              ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    open_.engine = "fake";
    open_.streams = 4;
  }
  ~TuneBenchTest() override { std::filesystem::remove_all(folder_); }

  void model(const std::string& script) {
    std::ofstream(folder_ + "/m.fake") << "aioss-fake 1\n" << script << "\n";
    const auto catalogue = scan_catalogue(fs_, {folder_, {}, true});
    files_ = *open_model(fs_, catalogue->models.at("m"));
  }
  // As another program would have it, without the first line.
  void bad_model(const std::string& rule) {
    std::ofstream(folder_ + "/m.fake") << "misbehave " << rule << "\n";
    const auto catalogue = scan_catalogue(fs_, {folder_, {}, true});
    files_ = *open_model(fs_, catalogue->models.at("m"));
  }
  ChildBench bench() {
    return ChildBench({*files_, AIOSS_TEST_WORKER, nullptr, open_, clock_, stop_});
  }
  std::int64_t soon() const { return clock_.monotonic_ns() + 60 * kNsPerSecond; }

  os::RealFileSystem fs_;
  os::SystemClock clock_;
  std::string folder_;
  std::shared_ptr<OpenModel> files_;
  ipc::TuneOpen open_;
  std::atomic<bool> stop_{false};
};

constexpr auto kDefault = TuneBench::Place::kDefault;
constexpr auto kCandidate = TuneBench::Place::kCandidate;

TEST_F(TuneBenchTest, TwoSessionsComputeBesideEachOther) {
  model("");
  ChildBench tried = bench();
  ASSERT_TRUE(tried.open("fake").has_value());
  EXPECT_EQ(tried.streams(), 4U);
  const auto first = tried.begin(kDefault, {"fake", {}}, soon());
  ASSERT_TRUE(first.has_value()) << first.error().message;
  const TuneCandidate off{"fake", {1, 0, 128, ipc::FlashAttention::kOff}};
  const auto second = tried.begin(kCandidate, off, soon());
  ASSERT_TRUE(second.has_value()) << second.error().message;
  EXPECT_EQ(*first, *second);
  for (const auto place : {kDefault, kCandidate}) {
    const auto run = tried.run(place, ipc::Regime::kDecodeMany, 3, soon());
    ASSERT_TRUE(run.has_value()) << run.error().message;
    EXPECT_EQ(run->tokens, 12U);
  }
  tried.end(kCandidate);
  EXPECT_FALSE(tried.run(kCandidate, ipc::Regime::kPrefill, 3, soon()).has_value());
  EXPECT_EQ(tried.children_started(), 1U);
}

TEST_F(TuneBenchTest, ACrashTakesOneCandidateAndTheDefaultIsBegunAgain) {
  model("crash_together on");
  ChildBench tried = bench();
  ASSERT_TRUE(tried.begin(kDefault, {"fake", {}}, soon()).has_value());
  TuneCandidate on{"fake", {}};
  on.knobs.flash_attention = ipc::FlashAttention::kOn;
  const auto crashed = tried.begin(kCandidate, on, soon());
  ASSERT_FALSE(crashed.has_value());
  EXPECT_EQ(crashed.error().code, Code::kWorkerDied);
  EXPECT_NE(crashed.error().message.find("signal 6"), std::string::npos) << crashed.error().message;
  tried.end(kCandidate);
  ASSERT_TRUE(tried.begin(kCandidate, {"fake", {2, 0, 0, {}}}, soon()).has_value());
  EXPECT_TRUE(tried.run(kDefault, ipc::Regime::kDecodeOne, 2, soon()).has_value());
  EXPECT_TRUE(tried.run(kCandidate, ipc::Regime::kDecodeOne, 2, soon()).has_value());
  EXPECT_EQ(tried.children_started(), 2U);
}

TEST_F(TuneBenchTest, AWholeSearchLeavesOutWhatCrashes) {
  model("crash_together on\ndelay_us_per_call 2000");
  TuningJob job;
  job.files = files_;
  job.space.engines = {"fake"};
  job.space.flash_attention = true;
  job.space.threads = {2};
  job.open = open_;
  job.budget_ns = 60 * kNsPerSecond;
  const auto result = measure(job, {AIOSS_TEST_WORKER, nullptr}, clock_, stop_);
  ASSERT_TRUE(result.has_value()) << result.error().message;
  // With which other knobs depends on what this machine was faster with.
  const auto has = [&](auto&& candidate, TuneState state) {
    return std::any_of(result->measurements.begin(), result->measurements.end(),
                       [&](const TuneMeasurement& one) {
                         return candidate(one.candidate.knobs) && one.state == state;
                       });
  };
  const auto on = [](const auto& knobs) {
    return knobs.flash_attention == ipc::FlashAttention::kOn;
  };
  const auto off = [](const auto& knobs) {
    return knobs.flash_attention == ipc::FlashAttention::kOff;
  };
  EXPECT_TRUE(has(off, TuneState::kMeasured));
  EXPECT_TRUE(has(on, TuneState::kUnsafe));
  EXPECT_FALSE(has(on, TuneState::kMeasured));
  EXPECT_TRUE(has([](const auto& knobs) { return knobs.threads == 2; }, TuneState::kMeasured));
}

TEST_F(TuneBenchTest, AModelThatCannotBeLoadedSaysWhy) {
  model("fail_load corrupt");
  const auto opened = bench().open("fake");
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, Code::kModelCorrupt);
}

TEST_F(TuneBenchTest, AnEngineThatThereIsNotIsRefused) {
  model("");
  const auto opened = bench().open("quantum");
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, Code::kUnsupported);
}

TEST_F(TuneBenchTest, OneThatSpeaksNonsenseIsGone) {
  bad_model("garbage");
  const auto opened = bench().open("fake");
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, Code::kWorkerDied);
}

TEST_F(TuneBenchTest, OneThatHangsIsKilledInTime) {
  model("");
  auto child = TuneChild::start(*files_, {AIOSS_TEST_WORKER, nullptr}, clock_, stop_);
  ASSERT_TRUE(child.has_value());
  // Its time is over before it can have answered.
  const auto answer = (*child)->ask(open_, clock_.monotonic_ns());
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code, Code::kTimeout);
  EXPECT_FALSE((*child)->is_alive());
}

TEST_F(TuneBenchTest, AStopIsNoticed) {
  model("");
  stop_ = true;
  const auto opened = bench().open("fake");
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, Code::kShuttingDown);
}

}  // namespace
}  // namespace aioss::runtime
