// What `aioss plan` prints for people.
#include "cli/plan_report.h"

#include <gtest/gtest.h>

namespace aioss::cli {
namespace {

using ::testing::AssertionResult;

runtime::PlanAnswer on_the_cpu() {
  runtime::PlanAnswer answer;
  answer.model = "qwen";
  answer.kv_type = "f16";
  answer.fits = true;
  answer.plan.exact = true;
  answer.plan.streams = 4;
  answer.plan.cells_per_stream = 4096;
  answer.plan.needs.weights = 1'000'000;
  answer.memory.total = answer.memory.available = 64'000'000'000;
  return answer;
}

runtime::PlanAnswer on_two_gpus() {
  runtime::PlanAnswer answer = on_the_cpu();
  answer.plan.layers_on = "cuda:0,cuda:1";
  answer.plan.on_devices = {{"cuda:0", 2'000'000, 300'000, 40'000}, {"cuda:1", 7'000'000, 0, 0}};
  return answer;
}

AssertionResult says(const std::string& text, std::string_view words) {
  if (text.find(words) != text.npos) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "'" << words << "' is not in\n" << text;
}

TEST(PlanReport, OfAModelOnTheCpuNothingIsSaidOfDevices) {
  const std::string text = plan_text(on_the_cpu(), 0, false);
  EXPECT_TRUE(says(text, "qwen: 4 sequences of 4096 tokens, KV in f16"));
  EXPECT_TRUE(says(text, "ON CPU"));
  EXPECT_TRUE(says(text, "it fits, 64.0 GB are left"));
  EXPECT_FALSE(says(text, "layers on"));
}

TEST(PlanReport, EachDeviceHasItsShare) {
  const std::string text = plan_text(on_two_gpus(), 0, false);
  EXPECT_TRUE(says(text, "layers on cuda:0,cuda:1: all\n"));
  EXPECT_TRUE(says(text, "ON cuda:0"));
  EXPECT_TRUE(says(text, "2340000"));  // together
  EXPECT_TRUE(says(text, "ON cuda:1"));
  EXPECT_TRUE(says(text, "7000000"));
  EXPECT_TRUE(says(text, "ON CPU"));
  EXPECT_TRUE(says(text, "it fits, 64.0 GB are left on CPU"));
}

TEST(PlanReport, ItSaysWhatStaysWithTheCpu) {
  runtime::PlanAnswer answer = on_two_gpus();
  answer.plan.layers.on_devices = 12;
  answer.plan.layers.experts_on_cpu = 5;
  EXPECT_TRUE(says(plan_text(answer, 0, false),
                   "layers on cuda:0,cuda:1: 12; experts of the first 5 with the CPU\n"));
}

TEST(PlanReport, NamesOfDevicesAreAPluginsWord) {
  runtime::PlanAnswer answer = on_two_gpus();
  answer.plan.layers_on = answer.plan.on_devices[0].name = "cuda\x1b[2J:0";
  EXPECT_EQ(plan_text(answer, 0, false).find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace aioss::cli
