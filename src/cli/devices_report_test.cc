#include "cli/devices_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "codec/json.h"

namespace aioss::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

DevicesFacts facts() {
  DevicesFacts facts;
  facts.cpu = {"A Processor 9000",
               {"abm", "avx", "avx2", "bmi1", "bmi2", "cx16", "f16c", "fma", "lahf_lm", "movbe",
                "popcnt", "sse2", "sse4_1", "sse4_2", "ssse3"}};
  facts.budget = {4, 2, 1.5};
  facts.built_for = "x86-64-v3";
  facts.bandwidth = os::ReadBandwidth{29.04e9, 1, 2, 3};
  return facts;
}

ipc::DeviceOfEngine gpu() {
  return {"cuda",
          "cuda:0",
          "CUDA",
          "A GPU\x1b[2J",
          false,
          false,
          std::uint64_t{80} << 30,
          std::uint64_t{79} << 30};
}

TEST(DevicesReport, ShowsTheProcessor) {
  const std::string text = devices_text(facts(), 0, false);
  EXPECT_THAT(text, HasSubstr("A Processor 9000"));
  EXPECT_THAT(text,
              HasSubstr("level      x86-64-v3; the engine in this binary is built for x86-64-v3"));
  EXPECT_THAT(text, HasSubstr("features   sse4_2 avx avx2 bmi2 f16c fma\n"));
  EXPECT_THAT(text, HasSubstr("2 of 2 cores, 4 threads; the control group grants 1.5"));
  EXPECT_THAT(text, HasSubstr("29.0 GB/s of memory, measured with 2 threads"));
}

TEST(DevicesReport, SaysWhyThereIsNoGpu) {
  DevicesFacts none = facts();
  EXPECT_THAT(devices_text(none, 0, false), HasSubstr("no GPU: no engine for GPUs is installed"));
  none.gpu_engines = 1;
  EXPECT_THAT(devices_text(none, 0, false), HasSubstr("no GPU: the installed engines find none"));
  none.found.failures.push_back({Code::kEngineFailed, "engine cuda: no driver"});
  const std::string text = devices_text(none, 0, false);
  EXPECT_THAT(text, HasSubstr("no GPU by engine cuda: no driver"));
  EXPECT_THAT(text, Not(HasSubstr("find none")));
}

TEST(DevicesReport, ShowsGpusAndNothingOfTheirTextThatATerminalObeys) {
  DevicesFacts one = facts();
  one.gpu_engines = 1;
  one.found.gpus.push_back(gpu());
  const std::string text = devices_text(one, 0, false);
  EXPECT_THAT(text, HasSubstr("cuda:0"));
  EXPECT_THAT(text, HasSubstr("84.8 GB"));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
  EXPECT_THAT(text, Not(HasSubstr("no GPU")));
  EXPECT_THAT(text, Not(HasSubstr("drivers")));
  one.drivers = {{"nvidia", "550.54.15"}, {"i915", ""}};
  EXPECT_THAT(devices_text(one, 0, false),
              HasSubstr("drivers    nvidia 550.54.15, i915 (the kernel's)\n"));
}

TEST(DevicesReport, SaysTheSameAsJson) {
  DevicesFacts one = facts();
  one.found.gpus.push_back(gpu());
  one.drivers = {{"nvidia", "550.54.15"}, {"i915", ""}};
  const auto json = codec::parse_json(devices_json(one));
  ASSERT_TRUE(json);
  EXPECT_EQ((*json)["cpu"]["level"], "x86-64-v3");
  EXPECT_EQ((*json)["cpu"]["usable_cores"], 2);
  EXPECT_EQ((*json)["cpu"]["read_bytes_per_second"], 29040000000U);
  EXPECT_EQ((*json)["gpus"][0]["name"], "cuda:0");
  EXPECT_EQ((*json)["gpus"][0]["free"], std::uint64_t{79} << 30);
  EXPECT_EQ((*json)["drivers"][0]["version"], "550.54.15");
  EXPECT_TRUE((*json)["drivers"][1]["version"].is_null());
  one.cpu.features.clear();
  EXPECT_TRUE((*codec::parse_json(devices_json(one)))["cpu"]["level"].is_null());
}

}  // namespace
}  // namespace aioss::cli
