#include "runtime/records/budget.h"

#include <gtest/gtest.h>

#include "base/clock.h"

namespace aioss::runtime {
namespace {

class SetClock final : public Clock {
 public:
  std::int64_t wall_ns() const override { return 0; }
  std::int64_t monotonic_ns() const override { return now; }
  std::int64_t now = 7 * kNsPerSecond;
};

TEST(RecordBudget, GivesTheBurstAndThenTheRate) {
  SetClock clock;
  RecordBudget budget(clock, 10, 100);
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(budget.take("a", 2)) << i;
  EXPECT_FALSE(budget.take("a", 1));
  clock.now += kNsPerSecond / 10;  // one record's time
  EXPECT_FALSE(budget.take("a", 2)) << "one is not two, and a refusal costs nothing";
  EXPECT_TRUE(budget.take("a", 1));
  EXPECT_FALSE(budget.take("a", 1));
  std::uint64_t taken = 0;
  for (int ms = 0; ms < 60'000; ++ms) {
    clock.now += kNsPerSecond / 1000;
    while (budget.take("a", 1)) ++taken;
  }
  EXPECT_EQ(taken, 600U) << "a minute at ten a second, however often it is asked";
}

TEST(RecordBudget, APauseGivesTheBurstBackAndNoMore) {
  SetClock clock;
  RecordBudget budget(clock, 10, 100);
  while (budget.take("a", 1)) {
  }
  clock.now += 1000 * kNsPerSecond;
  int taken = 0;
  while (budget.take("a", 1)) ++taken;
  EXPECT_EQ(taken, 100);
}

TEST(RecordBudget, TenantsDoNotShareIt) {
  SetClock clock;
  RecordBudget budget(clock, 1, 2);
  EXPECT_TRUE(budget.take("a", 2));
  EXPECT_FALSE(budget.take("a", 2));
  EXPECT_TRUE(budget.take("b", 2));
}

TEST(RecordBudget, ARateOfZeroIsNoBound) {
  SetClock clock;
  RecordBudget budget(clock, 0, 0);
  for (int i = 0; i < 100'000; ++i) ASSERT_TRUE(budget.take("a", 2));
}

TEST(RecordBudget, RemembersABoundedNumberOfTenants) {
  SetClock clock;
  RecordBudget budget(clock, 1, 2);
  for (std::size_t i = 0; i < kTenantsMax; ++i) {
    ASSERT_TRUE(budget.take("t" + std::to_string(i), 2));
  }
  EXPECT_FALSE(budget.take("one more", 2)) << "all the others still owe";
  EXPECT_FALSE(budget.take("t0", 2));
  clock.now += 2 * kNsPerSecond;
  EXPECT_TRUE(budget.take("one more", 2)) << "those that owe nothing are forgotten";
}

}  // namespace
}  // namespace aioss::runtime
