#include "engine/device_names.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>
#include <string>

#include "engine/engine.h"

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

aioss_status fill_to_the_brim(std::uint32_t, aioss_device* out, aioss_error*) {
  out->kind = AIOSS_DEVICE_GPU;
  std::memset(out->name, 'a', sizeof out->name);
  std::memset(out->backend, 'b', sizeof out->backend);
  std::memset(out->description, 'c', sizeof out->description);
  return AIOSS_OK;
}

TEST(DeviceNames, EndTextsThatAPluginDidNotEnd) {
  aioss_engine table = {};
  table.device_count = []() -> std::uint32_t { return 1; };
  table.device = fill_to_the_brim;
  const auto found = named_devices(table);
  ASSERT_TRUE(found);
  const aioss_device& facts = found->front().facts;
  EXPECT_EQ(std::string(facts.name), std::string(sizeof facts.name - 1, 'a'));
  EXPECT_EQ(std::string(facts.backend), std::string(sizeof facts.backend - 1, 'b'));
  EXPECT_EQ(std::string(facts.description), std::string(sizeof facts.description - 1, 'c'));
}

TEST(DeviceNames, AreNotMadeOfMoreDevicesThanAnyoneHas) {
  aioss_engine table = {};
  table.device_count = []() -> std::uint32_t { return kDevicesMax + 1; };
  table.device = fill_to_the_brim;
  const auto found = named_devices(table);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, Code::kEngineFailed);
  EXPECT_NE(found.error().message.find("too many devices, 65"), std::string::npos);
}

}  // namespace
}  // namespace aioss::engine
