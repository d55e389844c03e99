#include "runtime/dry_runs/device_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace aioss::runtime {
namespace {

using ::testing::ElementsAre;

ipc::DeviceOfEngine gpu(std::string engine, std::string name, std::uint64_t free) {
  ipc::DeviceOfEngine out;
  out.engine = std::move(engine);
  out.name = std::move(name);
  out.bytes_total = out.bytes_free = free;
  return out;
}

TEST(DeviceSetting, IsAutoCpuOrNames) {
  for (const char* good : {"auto", "cpu", "cuda:0", "metal", "cuda:0,cuda:1", "vulkan:12"}) {
    EXPECT_TRUE(is_device_setting(good)) << good;
  }
  for (const char* bad :
       {"", "CUDA:0", "cuda:", "cuda:x", "cuda:0,", "cpu,cuda:0", "auto:0", "a b", "cuda:0;rm"}) {
    EXPECT_FALSE(is_device_setting(bad)) << bad;
  }
  EXPECT_FALSE(is_device_setting(std::string(600, 'a')));
}

TEST(DeviceTable, TriesTheGpuWithTheMostMemoryThenAllThenTheCpu) {
  const DeviceTable table(
      {gpu("cuda", "cuda:0", 10), gpu("cuda", "cuda:1", 20), gpu("vulkan", "vulkan:0", 99)});
  EXPECT_THAT(table.candidates("cuda", "auto"),
              ElementsAre("cuda:1", "cuda:0", "cuda:1,cuda:0", "cpu"));
  EXPECT_THAT(table.candidates("vulkan", "auto"), ElementsAre("vulkan:0", "vulkan:0", "cpu"));
  EXPECT_THAT(table.candidates("llama", "auto"), ElementsAre("cpu"));
  EXPECT_THAT(table.candidates("cuda", "cpu"), ElementsAre("cpu"));
}

TEST(DeviceTable, TakesWhatSettingsName) {
  const DeviceTable none;
  // Whether there is such a device is the engine's to say, with the names that there are.
  EXPECT_THAT(none.candidates("cuda", "cuda:7"), ElementsAre("cuda:7"));
  EXPECT_THAT(none.candidates("metal", "metal"), ElementsAre("metal:0"));
}

TEST(DeviceTable, KnowsWhatWasFoundAlsoOnceItIsLost) {
  DeviceTable table({gpu("cuda", "cuda:0", 10), gpu("cuda", "cuda:1", 20)});
  EXPECT_TRUE(table.knows("cuda", "cuda:1"));
  EXPECT_TRUE(table.knows("cuda", "cuda,cuda:1"));
  EXPECT_FALSE(table.knows("cuda", "cuda:1,cuda:2"));
  EXPECT_FALSE(table.knows("cuda", "cuda,cuda:0")) << "named twice";
  EXPECT_FALSE(table.knows("llama", "cuda:1")) << "of another engine";
  EXPECT_FALSE(table.knows("cuda", "cpu"));
  table.lose("cuda:1");
  EXPECT_TRUE(table.knows("cuda", "cuda:1"));
}

TEST(DeviceTable, LosesADeviceUntilItIsGivenBack) {
  DeviceTable table({gpu("cuda", "cuda:0", 10), gpu("cuda", "cuda:1", 20)});
  EXPECT_EQ(table.lose("cuda:1").names, "cuda:1");
  EXPECT_EQ(table.lose("cuda:1").names, "");
  EXPECT_EQ(table.lose("cpu").names, "");
  EXPECT_THAT(table.candidates("cuda", "auto"), ElementsAre("cuda:0", "cuda:0", "cpu"));
  EXPECT_THAT(table.candidates("cuda", "cuda:0,cuda:1"), ElementsAre("cuda:0"));
  EXPECT_THAT(table.candidates("cuda", "cuda:1"), ElementsAre("cpu"));
  EXPECT_TRUE(table.all()[1].lost);
  const DeviceTable::Loss loss = table.lose("cuda:0,cuda:1");
  EXPECT_EQ(loss.names, "cuda:0");
  EXPECT_THAT(table.candidates("cuda", "auto"), ElementsAre("cpu"));
  EXPECT_EQ(table.give_back(loss), "cuda:0");
  EXPECT_EQ(table.give_back(loss), "");
  EXPECT_THAT(table.candidates("cuda", "auto"), ElementsAre("cuda:0", "cuda:0", "cpu"));
}

// Whatever was lost again, for whatever reason, is not given back for the sake of the first.
TEST(DeviceTable, GivesBackOnlyWhatNothingElseHasLost) {
  DeviceTable table({gpu("cuda", "cuda:0", 10), gpu("cuda", "cuda:1", 20)});
  const DeviceTable::Loss first = table.lose("cuda:0,cuda:1");
  EXPECT_EQ(first.names, "cuda:0,cuda:1");
  table.lose("cuda:1");
  EXPECT_EQ(table.give_back(first), "cuda:0");
  EXPECT_THAT(table.candidates("cuda", "auto"), ElementsAre("cuda:0", "cuda:0", "cpu"));
  table.lose("cuda:0");
  EXPECT_EQ(table.give_back(first), "");
}

}  // namespace
}  // namespace aioss::runtime
