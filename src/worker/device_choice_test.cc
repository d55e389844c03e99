#include "worker/device_choice.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

namespace aioss::worker {
namespace {

// An engine of two GPUs behind the processor, whose last one is broken.
struct Asked {
  int counts = 0;
  std::vector<std::uint32_t> memory;  // whose
};
Asked asked;

aioss_status describe(std::uint32_t index, aioss_device* out, aioss_error*) {
  if (index > 2) return AIOSS_E_INVALID;
  out->kind = index == 0 ? AIOSS_DEVICE_CPU : AIOSS_DEVICE_GPU;
  std::snprintf(out->backend, sizeof out->backend, "%s", index == 0 ? "CPU" : "My");
  if (out->struct_size <= offsetof(aioss_device, bytes_total)) return AIOSS_OK;
  asked.memory.push_back(index);
  return index == 2 ? AIOSS_E_FAILED : AIOSS_OK;
}

Result<DeviceChoice> choose(os::SandboxFor sandbox, const std::string& names) {
  asked = {};
  aioss_engine table = {};
  table.device_count = []() -> std::uint32_t { return (void)++asked.counts, 3; };
  table.device = describe;
  return DeviceChoice::make(table, sandbox, names, {});
}

TEST(DeviceChoice, BeginsTheDriversOfItsOwnDevicesOnly) {
  const auto choice = choose(os::SandboxFor::kGpu, "my:0");
  ASSERT_TRUE(choice) << choice.error().message;
  EXPECT_EQ(choice->indices(), std::vector<std::uint32_t>{1});
  EXPECT_EQ(choice->text(), "my:0");
  EXPECT_EQ(asked.memory, std::vector<std::uint32_t>{1});
}

TEST(DeviceChoice, OfTheCpuTouchesNoGpu) {
  const auto choice = choose(os::SandboxFor::kGpu, "cpu");
  ASSERT_TRUE(choice) << choice.error().message;
  EXPECT_TRUE(choice->is_cpu());
  EXPECT_TRUE(asked.memory.empty());
  EXPECT_EQ(asked.counts, 1) << "its library looks for them while it may";
  ASSERT_TRUE(choose(os::SandboxFor::kCpu, "cpu"));
  EXPECT_EQ(asked.counts, 0);
}

TEST(DeviceChoice, SaysWhichDeviceIsBroken) {
  const auto choice = choose(os::SandboxFor::kGpu, "my:0,my:1");
  ASSERT_FALSE(choice);
  EXPECT_EQ(choice.error().code, Code::kEngineFailed);
  EXPECT_NE(choice.error().message.find("my:1"), std::string::npos) << choice.error().message;
}

TEST(DeviceChoice, NamesTheDevicesThatThereAre) {
  const auto choice = choose(os::SandboxFor::kGpu, "my:7");
  ASSERT_FALSE(choice);
  EXPECT_EQ(choice.error().code, Code::kInvalidArgument);
  EXPECT_NE(choice.error().message.find("cpu, my:0, my:1"), std::string::npos);
}

}  // namespace
}  // namespace aioss::worker
