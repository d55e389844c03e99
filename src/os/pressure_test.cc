#include "os/pressure.h"

#include <gtest/gtest.h>

#include "os/test_tree.h"

namespace aioss::os {
namespace {

class PressureTest : public TreeTest {};

TEST_F(PressureTest, NothingThereIsNotKnown) {
  const Pressure pressure = memory_pressure(root_);
  EXPECT_FALSE(pressure.known);
  EXPECT_EQ(pressure.full_percent, 0);
}

TEST_F(PressureTest, OfTheMachine) {
  put("/proc/pressure/memory",
      "some avg10=12.50 avg60=1.00 avg300=0.10 total=99\n"
      "full avg10=3.25 avg60=0.00 avg300=0.00 total=7");
  const Pressure pressure = memory_pressure(root_);
  EXPECT_TRUE(pressure.known);
  EXPECT_EQ(pressure.some_percent, 12.5);
  EXPECT_EQ(pressure.full_percent, 3.25);
}

TEST_F(PressureTest, TheGroupsOwnComesFirst) {
  put("/proc/self/cgroup", "0::/aioss.service");
  put("/proc/pressure/memory", "some avg10=50.00 total=9\nfull avg10=40.00 total=1");
  put("/sys/fs/cgroup/aioss.service/memory.events", "low 0\nhigh 3\nmax 8\noom 2\noom_kill 1");
  EXPECT_EQ(memory_pressure(root_).full_percent, 40.0);
  put("/sys/fs/cgroup/aioss.service/memory.pressure",
      "some avg10=0.00 total=9\nfull avg10=0.50 total=1");
  const Pressure pressure = memory_pressure(root_);
  EXPECT_EQ(pressure.full_percent, 0.5);
  EXPECT_EQ(pressure.out_of_memory, 2U);
  EXPECT_EQ(pressure.killed, 1U);
}

TEST_F(PressureTest, AGroupOfVersion1SaysWhoWasKilled) {
  put("/proc/self/cgroup", "4:memory:/aioss.service\n0::/");
  put("/sys/fs/cgroup/memory/aioss.service/memory.oom_control",
      "oom_kill_disable 0\nunder_oom 0\noom_kill 3");
  const Pressure pressure = memory_pressure(root_);
  EXPECT_FALSE(pressure.known);
  EXPECT_EQ(pressure.out_of_memory, 3U);
  EXPECT_EQ(pressure.killed, 3U);
}

TEST_F(PressureTest, NonsenseIsNotKnown) {
  for (const char* text : {"", "some", "some avg10=", "some avg10=x", "some avg10=-1.0",
                           "some avg10=1e9", "full avg10=1.0"}) {
    put("/proc/pressure/memory", text);
    EXPECT_FALSE(memory_pressure(root_).known) << text;
  }
}

TEST(Pressure, ThisMachine) {
  const Pressure pressure = memory_pressure();
  EXPECT_LE(pressure.full_percent, 100);
  EXPECT_GE(pressure.some_percent, 0);
}

}  // namespace
}  // namespace aioss::os
