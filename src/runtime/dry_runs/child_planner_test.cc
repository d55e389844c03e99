// Dry runs in real confined children, over scripts of the fake engine.
#include "runtime/dry_runs/child_planner.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <string>

#include "os/clock.h"
#include "os/environment.h"
#include "runtime/planning/planning.h"
#include "runtime/planning/tuning_plan.h"

namespace aioss::runtime {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;

class ChildPlannerTest : public ::testing::Test {
 protected:
  ChildPlannerTest() {
    folder_ = ::testing::TempDir() + "/plan-" + std::to_string(getpid()) + "-" +
              ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    options_.models_dir = folder_;
    options_.fake_models = true;
    options_.prefix_bytes = 7;
    options_.spill_bytes = 8;
    options_.worker_executable = AIOSS_TEST_WORKER;
  }
  ~ChildPlannerTest() override { std::filesystem::remove_all(folder_); }

  void add(const std::string& name, const std::string& lines) {
    std::ofstream(folder_ + "/" + name + ".fake") << "aioss-fake 1\n" << lines << "\n";
  }
  std::shared_ptr<OpenModel> open(const std::string& name) {
    const auto catalogue = scan_catalogue(fs_, {folder_, {}, true});
    return *open_model(fs_, catalogue->models.at(name));
  }
  PlanWanted wanted() const {
    PlanWanted out;
    out.engine = "fake";
    out.device = "cpu";
    out.prefix_bytes = 7;
    out.spill_bytes = 8;
    return out;
  }
  ChildPlannerOptions planner_options(std::chrono::milliseconds time = std::chrono::minutes(1)) {
    ChildPlannerOptions out;
    out.child.executable = AIOSS_TEST_WORKER;
    out.child.time_max = time;
    return out;
  }
  Result<PlanSurvey> survey(const std::string& script, std::uint64_t room = 0,
                            std::chrono::milliseconds time = std::chrono::minutes(1)) {
    add("model", script);
    ChildPlanner planner(planner_options(time), clock_);
    return planner.survey_and_wait(open("model"), wanted(), room);
  }
  static PlanCall call(const std::string& model) {
    PlanCall out;
    out.model = model;
    return out;
  }
  Result<PlanAnswer> answer(const PlanCall& call, std::uint64_t usable,
                            const TuningStore* tunings = nullptr) {
    ChildPlanner planner(planner_options(), clock_);
    const Planning planning({fs_,
                             options_,
                             planner,
                             [usable] {
                               return Result<os::MemoryState>(
                                   os::MemoryState{usable, usable, std::nullopt, std::nullopt});
                             },
                             {},
                             nullptr,
                             tunings});
    return planning.answer(call);
  }

  os::RealFileSystem fs_;
  os::SystemClock clock_;
  GatewayOptions options_;
  std::string folder_;
};

TEST_F(ChildPlannerTest, SaysWhatTheEngineSays) {
  const auto survey =
      this->survey("memory weights=1000 kv=10 compute=20 vocabulary=30 overhead=40");
  ASSERT_TRUE(survey.has_value()) << survey.error().message;
  const memory::Needs& needs = survey->plan.needs;
  EXPECT_EQ(needs.weights, 1000U);
  EXPECT_EQ(needs.kv, 10U * 4 * 4096);  // as a worker would choose: 4 streams of 4,096
  EXPECT_EQ(needs.compute, 20U);
  EXPECT_EQ(needs.output, 16U * 264 * 4);  // rows for drafts
  EXPECT_GT(needs.vocabulary, 30U);        // the worker's own tables, too
  EXPECT_EQ(needs.overhead, 40U);
  EXPECT_EQ(needs.prefixes, 7U);
  EXPECT_EQ(needs.spill, 8U);
  EXPECT_TRUE(survey->plan.exact);
  EXPECT_EQ(survey->plan.streams, 4U);
  EXPECT_EQ(survey->plan.cells_per_stream, 4096U);
  EXPECT_EQ(survey->plan.device, "CPU") << "the host's book, whatever the engine calls its device";
  EXPECT_TRUE(survey->options.empty());
}

TEST_F(ChildPlannerTest, TheSameIsAskedOnce) {
  add("model", "memory weights=5");
  ChildPlanner planner(planner_options(), clock_);
  const auto ask = [&](const PlanWanted& wanted) {
    std::promise<Result<ModelPlan>> promise;
    planner.plan(open("model"), wanted,
                 [&](Result<ModelPlan> plan) { promise.set_value(std::move(plan)); });
    return promise.get_future().get();
  };
  ASSERT_TRUE(ask(wanted()).has_value());
  ASSERT_TRUE(ask(wanted()).has_value());
  EXPECT_EQ(planner.children_started(), 1U);
  PlanWanted other = wanted();
  other.kv_type = "q8_0";
  ASSERT_TRUE(ask(other).has_value());
  EXPECT_EQ(planner.children_started(), 2U);
  add("model", "memory weights=500");  // another file, by another size
  const auto changed = ask(wanted());
  ASSERT_TRUE(changed.has_value());
  EXPECT_EQ(changed->needs.weights, 500U);
  EXPECT_EQ(planner.children_started(), 3U);
}

TEST_F(ChildPlannerTest, FailuresAreNotKept) {
  add("model", "nonsense");
  ChildPlanner planner(planner_options(), clock_);
  for (std::uint64_t i = 1; i <= 2; ++i) {
    const auto survey = planner.survey_and_wait(open("model"), wanted(), 0);
    ASSERT_FALSE(survey.has_value());
    EXPECT_EQ(survey.error().code, Code::kModelCorrupt);
    EXPECT_NE(survey.error().message.find("unknown key"), std::string::npos)
        << survey.error().message;
    EXPECT_EQ(planner.children_started(), i);
  }
}

TEST_F(ChildPlannerTest, AChildThatCrashesIsAnError) {
  const auto survey = this->survey("fail_plan crash");
  ASSERT_FALSE(survey.has_value());
  EXPECT_EQ(survey.error().code, Code::kModelCorrupt);
  EXPECT_NE(survey.error().message.find("ended with signal 6"), std::string::npos)
      << survey.error().message;
}

TEST_F(ChildPlannerTest, AChildThatHangsIsKilled) {
  const auto survey = this->survey("fail_plan hang", 0, std::chrono::milliseconds(1500));
  ASSERT_FALSE(survey.has_value());
  EXPECT_EQ(survey.error().code, Code::kModelCorrupt);
  EXPECT_NE(survey.error().message.find("took over 1 s"), std::string::npos)
      << survey.error().message;
}

TEST_F(ChildPlannerTest, AChildThatSpeaksNonsenseIsNotBelieved) {
  const auto survey = this->survey("fail_plan garbage");
  ASSERT_FALSE(survey.has_value());
  EXPECT_EQ(survey.error().code, Code::kModelCorrupt);
  EXPECT_NE(survey.error().message.find("nonsense"), std::string::npos) << survey.error().message;
}

TEST_F(ChildPlannerTest, AChildThatTalksTooMuchIsCutOff) {
  const auto survey = this->survey("fail_plan flood");
  ASSERT_FALSE(survey.has_value());
  EXPECT_EQ(survey.error().code, Code::kModelCorrupt);
  EXPECT_NE(survey.error().message.find("absurdly long"), std::string::npos)
      << survey.error().message;
}

// Neither the one that runs nor those that wait hold up the end, and each is told.
TEST_F(ChildPlannerTest, AnEndWaitsForNobody) {
  add("model", "fail_plan hang");
  std::vector<std::future<Result<PlanSurvey>>> futures;
  {
    ChildPlanner planner(planner_options(), clock_);
    for (int i = 0; i < 3; ++i) {
      const auto promise = std::make_shared<std::promise<Result<PlanSurvey>>>();
      futures.push_back(promise->get_future());
      planner.survey(open("model"), wanted(), 0,
                     [promise](Result<PlanSurvey> survey) { promise->set_value(survey); });
    }
    while (planner.children_started() == 0) usleep(1000);
  }
  for (auto& future : futures) {
    const auto survey = future.get();
    ASSERT_FALSE(survey.has_value());
    EXPECT_EQ(survey.error().code, Code::kShuttingDown);
  }
}

TEST_F(ChildPlannerTest, AnEngineThatHangsHoldsUpNoOther) {
  add("hangs", "fail_plan hang");
  add("model", "memory weights=5");
  std::atomic<bool> given_up{false};
  ChildPlanner planner(planner_options(), clock_);
  planner.survey(open("hangs"), wanted(), 0, [&](const auto&) { given_up = true; });
  while (planner.children_started() == 0) usleep(1000);
  PlanWanted other = wanted();
  other.engine_sha256 = Digest{1};
  EXPECT_TRUE(planner.survey_and_wait(open("model"), other, 0).has_value());
  EXPECT_FALSE(given_up.load());
}

TEST_F(ChildPlannerTest, TheQueueIsBounded) {
  add("model", "fail_plan hang");
  std::atomic<std::size_t> busy{0};
  std::atomic<std::size_t> ended{0};
  {
    ChildPlanner planner(planner_options(), clock_);
    for (std::size_t i = 0; i < kPlansWaitingOfEngineMax + 2; ++i) {
      PlanWanted each = wanted();
      each.streams = static_cast<std::uint32_t>(i + 1);
      planner.survey(open("model"), each, 0, [&](Result<PlanSurvey> survey) {
        if (!survey && survey.error().code == Code::kBusy) ++busy;
        ++ended;
      });
    }
    EXPECT_GE(busy.load(), 1U);
    EXPECT_LE(busy.load(), 2U);
  }
  EXPECT_EQ(ended.load(), kPlansWaitingOfEngineMax + 2);
}

TEST_F(ChildPlannerTest, OptionsThatFitAreLookedFor) {
  // 16 MiB of KV for 4 × 4,096 cells in f16; 10 MiB are there beside the weights.
  const std::string script = "memory weights=1048576 kv=1024";
  const std::uint64_t room = 11 * kMiB;
  const auto survey = this->survey(script, room);
  ASSERT_TRUE(survey.has_value()) << survey.error().message;
  ASSERT_EQ(survey->options.size(), 3U);
  for (const PlanOption& option : survey->options) {
    EXPECT_LE(option.needs.committed(), room);
    EXPECT_EQ(option.needs.prefixes, 7U);
  }
  EXPECT_EQ(survey->options[0].kv_type, "q8_0");  // 8.5 MiB
  EXPECT_EQ(survey->options[0].cells_per_stream, 4096U);
  const PlanOption& cells = survey->options[1];
  EXPECT_EQ(cells.kv_type, "f16");
  EXPECT_EQ(cells.streams, 4U);
  EXPECT_EQ(cells.cells_per_stream, 2304U);  // 9 MiB; 2,560 would be 10, and tables beside it
  EXPECT_EQ(survey->options[2].streams, 2U);
  EXPECT_EQ(survey->options[2].cells_per_stream, 4096U);
}

// What is known of a model says nothing of what would fit now.
TEST_F(ChildPlannerTest, OptionsAreLookedForAnew) {
  add("model", "memory weights=1048576 kv=1024");
  ChildPlanner planner(planner_options(), clock_);
  const auto survey = [&](std::uint64_t room) {
    auto found = planner.survey_and_wait(open("model"), wanted(), room);
    EXPECT_TRUE(found.has_value());
    return found ? found->options.size() : 0;
  };
  EXPECT_EQ(survey(0), 0U);
  EXPECT_EQ(survey(11 * kMiB), 3U);
  EXPECT_EQ(survey(0), 0U);
  EXPECT_EQ(survey(100 * kMiB), 0U);
  EXPECT_EQ(planner.children_started(), 2U);
}

TEST_F(ChildPlannerTest, IfNoChangeAloneIsEnoughSeveralAre) {
  const auto survey = this->survey("memory weights=1048576 kv=1024", kMiB + 400 * 1024);
  ASSERT_TRUE(survey.has_value()) << survey.error().message;
  ASSERT_FALSE(survey->options.empty());
  for (const PlanOption& option : survey->options) {
    EXPECT_EQ(option.streams, 1U);
    EXPECT_LE(option.needs.committed(), kMiB + 400 * 1024);
  }
  const auto nothing = this->survey("memory weights=1048576 kv=1024", kMiB);
  ASSERT_TRUE(nothing.has_value());
  EXPECT_TRUE(nothing->options.empty());
}

TEST_F(ChildPlannerTest, APlanNamesOtherQuantizationsThatFit) {
  add("big-model.Q8_0", "memory weights=8000000 kv=0");
  add("big-model.Q5_K_M", "memory weights=5000000 kv=0");
  add("big-model.Q4_0", "memory weights=4000000 kv=0");
  add("big-model.Q6_K", "memory weights=6000000 kv=0");
  add("other.Q4_0", "memory weights=1 kv=0");
  const auto plan = answer(call("big-model.Q8_0"), 5'900'000);
  ASSERT_TRUE(plan.has_value()) << plan.error().message;
  EXPECT_FALSE(plan->fits);
  ASSERT_EQ(plan->options.size(), 2U);
  EXPECT_EQ(plan->options[0].model, "big-model.Q5_K_M");
  EXPECT_EQ(plan->options[1].model, "big-model.Q4_0");
  const auto enough = answer(call("big-model.Q8_0"), 9'000'000);
  ASSERT_TRUE(enough.has_value());
  EXPECT_TRUE(enough->fits);
  EXPECT_TRUE(enough->options.empty());
}

TEST_F(ChildPlannerTest, APlanTakesItsOptionsFromTheCallThenFromTheGateway) {
  add("model", "memory weights=1 kv=2");
  options_.context_tokens = 512;
  options_.parallel = 2;
  const auto own = answer(call("model"), kMiB);
  ASSERT_TRUE(own.has_value()) << own.error().message;
  EXPECT_EQ(own->plan.cells_per_stream, 512U);
  EXPECT_EQ(own->plan.streams, 2U);
  EXPECT_EQ(own->kv_type, "f16");
  const auto asked = answer({"model", 256, 3, "q4_0"}, kMiB);
  ASSERT_TRUE(asked.has_value()) << asked.error().message;
  EXPECT_EQ(asked->plan.cells_per_stream, 256U);
  EXPECT_EQ(asked->plan.streams, 3U);
  EXPECT_EQ(asked->plan.needs.kv, 256U * 3 * 2 * 9 / 32);
  const auto json = plan_json(*asked);
  EXPECT_EQ(json["bytes"]["kv"], 432U);
  EXPECT_EQ(json["fits"], true);
  EXPECT_TRUE(json["would_evict"].empty());
}

// It is planned as it would be loaded: here by an engine that was measured, and is not there.
TEST_F(ChildPlannerTest, APlanIsOfWhatWasMeasuredUnderItsConditions) {
  add("model", "memory weights=5");
  options_.tune = true;
  const auto catalogue = scan_catalogue(fs_, catalogue_options(options_));
  Tuning tuning;
  tuning.result.measurements = {{{"fake", {}}, TuneState::kMeasured, "", {}},
                                {{"other", {}}, TuneState::kMeasured, "", {}}};
  tuning.result.choice = {1, "faster"};
  TuningStore tunings(fs_, "", AIOSS_TEST_WORKER);
  tunings.put(tuning_key_of(*catalogue, catalogue->models.at("model"), options_), tuning);
  EXPECT_TRUE(answer(call("model"), kMiB).has_value());
  const auto tuned = answer(call("model"), kMiB, &tunings);
  ASSERT_FALSE(tuned.has_value());
  EXPECT_NE(tuned.error().message.find("other"), std::string::npos) << tuned.error().message;
  PlanCall under_others = call("model");
  under_others.parallel = 2;
  EXPECT_TRUE(answer(under_others, kMiB, &tunings).has_value());
  options_.tune = false;
  EXPECT_TRUE(answer(call("model"), kMiB, &tunings).has_value());
}

TEST_F(ChildPlannerTest, WhatCannotBePlannedIsRefusedInOneLine) {
  add("model", "");
  const auto code = [&](const PlanCall& asked) { return answer(asked, kMiB).error().code; };
  EXPECT_EQ(code(call("nobody")), Code::kNotFound);
  EXPECT_EQ(code({"model", std::nullopt, std::nullopt, "q2"}), Code::kInvalidArgument);
  EXPECT_EQ(code({"model", std::nullopt, 257, std::nullopt}), Code::kInvalidArgument);
  const std::uint64_t absurd = std::uint64_t{1} << 40;
  EXPECT_EQ(code({"model", absurd, std::nullopt, std::nullopt}), Code::kInvalidArgument);
}

TEST(BaseName, IsTheNameWithoutItsQuantization) {
  EXPECT_EQ(base_name("SmolLM2-135M-Instruct.Q4_1"), "SmolLM2-135M-Instruct");
  EXPECT_EQ(base_name("gemma-3-270m-q4_k_m"), "gemma-3-270m");
  EXPECT_EQ(base_name("m-IQ3_XXS"), "m");
  EXPECT_EQ(base_name("m.BF16"), "m");
  EXPECT_EQ(base_name("gemma-3-270m"), "gemma-3-270m");
  EXPECT_EQ(base_name("qwen-Quick"), "qwen-Quick");
  EXPECT_EQ(base_name("Q4_0"), "Q4_0");
  EXPECT_EQ(base_name(".Q4_0"), ".Q4_0");
}

}  // namespace
}  // namespace aioss::runtime
