#include "os/gpu_drivers.h"

#include <gtest/gtest.h>

#include "os/test_tree.h"

namespace aioss::os {
namespace {

class GpuDrivers : public TreeTest {};

TEST_F(GpuDrivers, AreThoseThatAreLoaded) {
  EXPECT_TRUE(gpu_drivers(root_).empty());
  put("/sys/module/nvidia/version", "550.54.15");
  put("/sys/module/i915/refcnt", "3");
  put("/sys/module/snd/version", "1");
  const auto found = gpu_drivers(root_);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].name, "nvidia");
  EXPECT_EQ(found[0].version, "550.54.15");
  EXPECT_EQ(found[1].name, "i915");
  EXPECT_EQ(found[1].version, "");
}

}  // namespace
}  // namespace aioss::os
