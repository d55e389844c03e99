#include "engines/fake/fake_devices.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <tuple>
#include <vector>

#include "engine/device_names.h"
#include "engine/engine.h"
#include "engines/fake/fake_engine.h"
#include "engines/fake/test_model_file.h"

namespace aioss::engines::fake {
namespace {

class FakeDevices : public testing::Test {
 protected:
  FakeDevices() { ::setenv("AIOSS_FAKE_GPUS", "1000,500", 1); }
  ~FakeDevices() override { ::unsetenv("AIOSS_FAKE_GPUS"); }

  Result<std::unique_ptr<engine::Model>> open(const std::string& script,
                                              std::vector<std::uint32_t> devices,
                                              std::int32_t gpu_layers, bool dry,
                                              std::uint32_t cpu_expert_layers = 0) {
    const TestModelFile file(script);
    const int fd = file.fd();
    aioss_model_options options = {};
    options.struct_size = sizeof options;
    options.fds = &fd;
    options.fd_count = 1;
    options.flags = dry ? AIOSS_MODEL_DRY_RUN : 0;
    options.devices = devices.data();
    options.device_count = static_cast<std::uint32_t>(devices.size());
    options.gpu_layers = gpu_layers;
    options.cpu_expert_layers = cpu_expert_layers;
    return engine::Model::open(*entry(), options);
  }
  static aioss_session_options session() {
    aioss_session_options options = {};
    options.struct_size = sizeof options;
    options.sequences_max = options.batch_tokens_max = 1;
    options.cells_per_sequence = 100;
    return options;
  }
};

TEST_F(FakeDevices, AreWhatTheEnvironmentSays) {
  const auto named = engine::named_devices(*entry());
  ASSERT_TRUE(named);
  ASSERT_EQ(named->size(), 3U);
  EXPECT_EQ((*named)[0].name, "cpu");
  EXPECT_EQ((*named)[2].name, "fake:1");
  EXPECT_EQ((*named)[2].facts.bytes_total, 500U);
}

TEST_F(FakeDevices, HaveTheirPartOfAPlan) {
  const auto model = open("layers 4\nweight_bytes 400\nmemory kv=8\n", {1, 2}, 2, true);
  ASSERT_TRUE(model);
  const auto plan = (*model)->plan(session());
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->weight_bytes, 200U);
  EXPECT_EQ(plan->kv_bytes, 400U);
  ASSERT_EQ(plan->device_count, 2U);
  EXPECT_EQ(plan->devices[0].device, 1U);
  EXPECT_EQ(plan->devices[1].weight_bytes, 100U);
  EXPECT_EQ(plan->devices[1].kv_bytes, 200U);
}

TEST_F(FakeDevices, LeaveExpertsToTheCpu) {
  const std::string script = "layers 4\nweight_bytes 400\nexperts_percent 90\n";
  const std::tuple<std::int32_t, std::uint32_t, std::uint64_t> cases[] = {
      {-1, 0, 400}, {-1, 1, 310}, {-1, 4, 40}, {-1, 99, 40}, {2, 2, 200}, {2, 3, 110}};
  for (const auto& [layers, experts, there] : cases) {
    const auto model = open(script, {1}, layers, true, experts);
    ASSERT_TRUE(model);
    const auto plan = (*model)->plan(session());
    ASSERT_TRUE(plan);
    EXPECT_EQ(plan->devices[0].weight_bytes, there) << layers << " " << experts;
    EXPECT_EQ(plan->weight_bytes, 400 - there) << layers << " " << experts;
  }
}

TEST_F(FakeDevices, AreChecked) {
  EXPECT_FALSE(open("", {3}, -1, false));
  EXPECT_FALSE(open("", {1, 1}, -1, false));
  EXPECT_FALSE(open("", {1}, -2, false));
  EXPECT_TRUE(open("", {1}, -1, false));
  EXPECT_TRUE(open("", {0}, -1, false));  // the CPU
}

TEST_F(FakeDevices, FailALoadWhereTheScriptSaysSo) {
  EXPECT_FALSE(open("fail_device yes\n", {1}, -1, false));
  EXPECT_TRUE(open("fail_device yes\n", {1}, -1, true));
  EXPECT_TRUE(open("fail_device yes\n", {1}, 0, false));
  EXPECT_TRUE(open("fail_device yes\n", {}, -1, false));
  EXPECT_FALSE(open("fail_placing yes\n", {1}, -1, true));
  EXPECT_TRUE(open("fail_placing yes\n", {}, -1, true));
}

}  // namespace
}  // namespace aioss::engines::fake
