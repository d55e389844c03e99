#include "base/lane_queue.h"

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <string>

namespace aioss {
namespace {

using Queue = LaneQueue<std::string, int>;

TEST(LaneQueue, OfOneLaneOneIsUnderWay) {
  Queue queue(8, 8);
  for (const int work : {1, 2}) ASSERT_EQ(queue.try_push("a", work), Queue::Push::kAccepted);
  ASSERT_EQ(queue.try_push("b", 3), Queue::Push::kAccepted);
  EXPECT_EQ(queue.pop()->work, 1);
  EXPECT_EQ(queue.pop()->work, 3) << "its lane is free";
  auto next = std::async(std::launch::async, [&] { return queue.pop()->work; });
  EXPECT_EQ(next.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  queue.release("b");
  EXPECT_EQ(next.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  queue.release("a");
  EXPECT_EQ(next.get(), 2);
}

TEST(LaneQueue, WhoeverWaitsIsWokenByItsLane) {
  Queue queue(8, 8);
  for (const char* lane : {"a", "b"}) {
    for (const int work : {1, 2}) ASSERT_EQ(queue.try_push(lane, work), Queue::Push::kAccepted);
    EXPECT_EQ(queue.pop()->lane, lane);
  }
  const auto waits = [&] {
    return std::async(std::launch::async, [&] { return queue.pop()->lane; });
  };
  auto first = waits(), second = waits();
  queue.release("b");
  queue.release("a");
  const std::string lanes = first.get() + second.get();
  EXPECT_TRUE(lanes == "ab" || lanes == "ba") << lanes;
}

TEST(LaneQueue, OneLaneLeavesRoomForOthers) {
  Queue queue(3, 2);
  for (const int work : {1, 2}) EXPECT_EQ(queue.try_push("a", work), Queue::Push::kAccepted);
  EXPECT_EQ(queue.try_push("a", 3), Queue::Push::kFull);
  EXPECT_EQ(queue.try_push("b", 4), Queue::Push::kAccepted);
  EXPECT_EQ(queue.try_push("c", 5), Queue::Push::kFull);
  EXPECT_EQ(queue.pop()->work, 1);
  EXPECT_EQ(queue.try_push("a", 6), Queue::Push::kAccepted) << "what is under way does not wait";
}

TEST(LaneQueue, IsBoundedAndCloses) {
  Queue queue(1, 1);
  EXPECT_EQ(queue.try_push("a", 1), Queue::Push::kAccepted);
  EXPECT_EQ(queue.try_push("b", 2), Queue::Push::kFull);
  EXPECT_EQ(queue.pop()->lane, "a");
  EXPECT_EQ(queue.try_push("a", 3), Queue::Push::kAccepted);
  auto waits = std::async(std::launch::async, [&] { return queue.pop(); });
  queue.close();
  EXPECT_EQ(queue.try_push("b", 4), Queue::Push::kClosed);
  EXPECT_FALSE(waits.get()) << "what is left is behind one that is under way";
  queue.release("a");
  EXPECT_EQ(queue.pop()->work, 3) << "whoever releases its lane gets it";
  queue.release("a");
  EXPECT_FALSE(queue.pop());
}

}  // namespace
}  // namespace aioss
