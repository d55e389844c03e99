#include "runtime/dry_runs/devices_child.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace aioss::runtime {
namespace {

using ::testing::ElementsAre;

ipc::DeviceOfEngine device(std::string engine, std::string name, bool is_cpu = false) {
  ipc::DeviceOfEngine out;
  out.engine = std::move(engine);
  out.name = std::move(name);
  out.is_cpu = is_cpu;
  return out;
}

std::vector<std::string> shown(const std::vector<ipc::DeviceOfEngine>& devices) {
  std::vector<std::string> out;
  for (const auto& one : devices) out.push_back(one.engine + " " + one.name);
  return out;
}

TEST(DevicesChild, APluginSpeaksForItselfOnly) {
  plugins::EngineImage plugin;
  plugin.name = "vulkan";
  EXPECT_THAT(shown(believable({device("vulkan", "vulkan:0"), device("cuda", "cuda:0"),
                                device("cuda", "vulkan:0")},
                               &plugin)),
              ElementsAre("vulkan vulkan:0", "vulkan cuda:0"));
}

TEST(DevicesChild, ADeviceWhoseNameNoSettingCouldHaveIsLeftOut) {
  plugins::EngineImage plugin;
  plugin.name = "vulkan";
  EXPECT_THAT(shown(believable(
                  {device("", "auto"), device("", "cpu"), device("", "cpu:0"), device("", "CPU"),
                   device("", "vulkan"), device("", ""), device("", "vulkan:0,vulkan:1"),
                   device("", "vulkan:x"), device("", "vulkan:1"), device("", "cpu", true)},
                  &plugin)),
              ElementsAre("vulkan vulkan:1", "vulkan cpu"));
}

TEST(DevicesChild, ThoseThatAreLinkedSpeakForAll) {
  plugins::EngineImage fake;
  fake.name = "fake";
  fake.is_linked = true;
  const std::vector<ipc::DeviceOfEngine> said{device("llama", "cpu", true),
                                              device("fake", "fake:0")};
  EXPECT_THAT(shown(believable(said, &fake)), ElementsAre("fake fake:0"));
  EXPECT_THAT(shown(believable(said, nullptr)), ElementsAre("llama cpu", "fake fake:0"));
}

}  // namespace
}  // namespace aioss::runtime
