#include "base/bounded_queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

namespace aioss {
namespace {

using Push = BoundedQueue<int>::Push;
using std::chrono::hours;
using std::chrono::milliseconds;

TEST(BoundedQueue, KeepsOrderAndRefusesWhatIsOverItsCapacity) {
  BoundedQueue<int> queue(2);
  EXPECT_EQ(queue.try_push(1), Push::kAccepted);
  EXPECT_EQ(queue.try_push(2), Push::kAccepted);
  EXPECT_EQ(queue.try_push(3), Push::kFull);
  EXPECT_EQ(queue.size(), 2u);
  EXPECT_EQ(queue.try_pop(), 1);
  EXPECT_EQ(queue.try_push(4), Push::kAccepted);
  EXPECT_EQ(queue.try_pop(), 2);
  EXPECT_EQ(queue.try_pop(), 4);
  EXPECT_EQ(queue.try_pop(), std::nullopt);
}

TEST(BoundedQueue, ClosedTakesNothingMoreButGivesWhatItHas) {
  BoundedQueue<int> queue(4);
  EXPECT_EQ(queue.try_push(7), Push::kAccepted);
  queue.close();
  EXPECT_TRUE(queue.closed());
  EXPECT_EQ(queue.try_push(8), Push::kClosed);
  EXPECT_EQ(queue.pop_for(hours(1)), 7);
  EXPECT_EQ(queue.pop_for(hours(1)), std::nullopt);  // at once: a wait would outlast the test
  EXPECT_TRUE(queue.drain_for(hours(1), 10).empty());
}

TEST(BoundedQueue, DrainTakesAtMostTheLimitInOrder) {
  BoundedQueue<int> queue(8);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(queue.try_push(i), Push::kAccepted);
  EXPECT_EQ(queue.drain_for(milliseconds(0), 3), (std::vector<int>{0, 1, 2}));
  EXPECT_EQ(queue.drain_for(milliseconds(0), 3), (std::vector<int>{3, 4}));
  EXPECT_TRUE(queue.drain_for(milliseconds(1), 3).empty());
}

TEST(BoundedQueue, CloseWakesEveryWaiter) {
  BoundedQueue<int> queue(1);
  std::vector<std::thread> waiters;
  for (int i = 0; i < 3; ++i) {
    waiters.emplace_back([&] { EXPECT_EQ(queue.pop_for(hours(1)), std::nullopt); });
  }
  queue.close();
  for (std::thread& waiter : waiters) waiter.join();
}

TEST(BoundedQueue, CarriesWhatCanOnlyBeMoved) {
  BoundedQueue<std::unique_ptr<int>> queue(1);
  EXPECT_EQ(queue.try_push(std::make_unique<int>(3)),
            BoundedQueue<std::unique_ptr<int>>::Push::kAccepted);
  EXPECT_EQ(**queue.try_pop(), 3);
}

// Nothing lost, nothing twice, never over the capacity; under ThreadSanitizer also no race.
TEST(BoundedQueue, ManyProducersAndConsumers) {
  constexpr int kProducers = 3, kConsumers = 2, kEach = 2000;
  constexpr std::size_t kCapacity = 16;
  BoundedQueue<int> queue(kCapacity);
  std::vector<std::atomic<int>> seen(kProducers * kEach);
  std::vector<std::thread> producers, consumers;
  for (int p = 0; p < kProducers; ++p) {
    producers.emplace_back([&, p] {
      for (int i = 0; i < kEach; ++i) {
        while (queue.try_push(p * kEach + i) == Push::kFull) std::this_thread::yield();
        EXPECT_LE(queue.size(), kCapacity);
      }
    });
  }
  for (int c = 0; c < kConsumers; ++c) {
    consumers.emplace_back([&] {
      while (const auto item = queue.pop_for(hours(1))) {
        seen[static_cast<std::size_t>(*item)].fetch_add(1);
      }
    });
  }
  for (std::thread& producer : producers) producer.join();
  queue.close();
  for (std::thread& consumer : consumers) consumer.join();
  for (const auto& count : seen) EXPECT_EQ(count.load(), 1);
}

TEST(BoundedQueueDeathTest, ACapacityOfZeroIsABug) {
  EXPECT_DEATH(BoundedQueue<int> queue(0), "internal error");
}

}  // namespace
}  // namespace aioss
