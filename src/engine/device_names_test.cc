#include "engine/device_names.h"

#include <gtest/gtest.h>

#include <cstdio>

namespace aioss::engine {
namespace {

NamedDevice device(std::uint32_t index, std::string name, std::uint32_t kind) {
  NamedDevice out{index, std::move(name), {}};
  out.facts.kind = kind;
  return out;
}

const std::vector<NamedDevice> kKnown{
    device(0, "cuda:0", AIOSS_DEVICE_GPU), device(1, "cuda:1", AIOSS_DEVICE_GPU),
    device(2, "vulkan:0", AIOSS_DEVICE_IGPU), device(3, "cpu", AIOSS_DEVICE_CPU)};

TEST(DeviceNames, FindsThemInTheOrderThatWasAskedFor) {
  const auto found = find_devices(kKnown, "vulkan:0,cuda:1");
  ASSERT_TRUE(found);
  ASSERT_EQ(found->size(), 2U);
  EXPECT_EQ((*found)[0].index, 2U);
  EXPECT_EQ((*found)[1].index, 1U);
}

TEST(DeviceNames, TakesABackendAloneForItsFirstDevice) {
  const auto found = find_devices(kKnown, "cuda");
  ASSERT_TRUE(found);
  ASSERT_EQ(found->size(), 1U);
  EXPECT_EQ((*found)[0].name, "cuda:0");
}

TEST(DeviceNames, TakesTheCpuForNoDevice) {
  const auto found = find_devices(kKnown, "cpu");
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->empty());
}

TEST(DeviceNames, SaysWhichThereAreForOneThatIsNot) {
  for (const char* wanted : {"cuda:2", "metal", "", "cuda:0,cpu", "cuda:0,,cuda:1"}) {
    const auto found = find_devices(kKnown, wanted);
    ASSERT_FALSE(found) << wanted;
    EXPECT_EQ(found.error().code, Code::kInvalidArgument);
    EXPECT_NE(found.error().message.find("there are cpu, cuda:0, cuda:1, vulkan:0"),
              std::string::npos)
        << found.error().message;
  }
}

TEST(DeviceNames, RefusesADeviceTwice) {
  EXPECT_FALSE(find_devices(kKnown, "cuda:1,cuda:1"));
  EXPECT_FALSE(find_devices(kKnown, "cuda,cuda:0"));
}

// A table of two devices, as a plugin may have it.
aioss_status describe(std::uint32_t index, aioss_device* out, aioss_error*) {
  if (index > 1) return AIOSS_E_INVALID;
  const std::uint32_t size = out->struct_size;
  *out = {};
  out->struct_size = size;
  out->kind = index == 0 ? AIOSS_DEVICE_GPU : AIOSS_DEVICE_CPU;
  std::snprintf(out->backend, sizeof out->backend, "%s", index == 0 ? "My GPU\n:7" : "CPU");
  return AIOSS_OK;
}

TEST(DeviceNames, MakesNamesOfWhatAnEngineCallsItsBackend) {
  aioss_engine table = {};
  table.device_count = []() -> std::uint32_t { return 2; };
  table.device = describe;
  const auto found = named_devices(table);
  ASSERT_TRUE(found);
  ASSERT_EQ(found->size(), 2U);
  EXPECT_EQ((*found)[0].name, "mygpu7:0");
  EXPECT_EQ((*found)[1].name, "cpu");
}

}  // namespace
}  // namespace aioss::engine
