#include "worker/turn_watch.h"

#include <gtest/gtest.h>

namespace aioss::worker {
namespace {

TEST(TurnWatch, ATurnMayTakeItsTimeAndNotMore) {
  TurnWatch watch;
  EXPECT_FALSE(watch.is_overdue(INT64_MAX - 1)) << "nothing is computed";
  {
    const TurnWatch::Turn turn(watch, 100);
    EXPECT_FALSE(watch.is_overdue(99 + TurnWatch::kTurnNs));
    EXPECT_TRUE(watch.is_overdue(100 + TurnWatch::kTurnNs));
    watch.allow(512);
    EXPECT_FALSE(watch.is_overdue(99 + TurnWatch::kTurnNs + 512 * TurnWatch::kTokenNs));
    EXPECT_TRUE(watch.is_overdue(100 + TurnWatch::kTurnNs + 512 * TurnWatch::kTokenNs));
  }
  EXPECT_FALSE(watch.is_overdue(INT64_MAX - 1)) << "it came back";
  watch.allow(1);
  EXPECT_FALSE(watch.is_overdue(INT64_MAX - 1)) << "what is done outside of a turn is none";
}

}  // namespace
}  // namespace aioss::worker
