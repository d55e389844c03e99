// A queue of work of several lanes, for several consumers: of one lane only one piece is under way
// at a time, so that a lane that hangs holds up nobody but itself, and one of the consumers. First
// come, first served among lanes that are free. Fixed capacities, of all and of each lane, as
// base/bounded_queue.h: a full queue is an answer, not a wait. Thread-safe.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "base/assert.h"

namespace aioss {

template <typename Lane, typename T>
class LaneQueue final {
 public:
  enum class Push { kAccepted, kFull, kClosed };
  struct Item {
    Lane lane;
    T work;
  };

  LaneQueue(std::size_t capacity, std::size_t lane_capacity)
      : capacity_(capacity), lane_capacity_(lane_capacity) {
    ASSERT(capacity > 0 && lane_capacity > 0);
  }
  LaneQueue(const LaneQueue&) = delete;
  LaneQueue& operator=(const LaneQueue&) = delete;

  Push try_push(Lane lane, T work) {
    {
      std::lock_guard lock(mutex_);
      if (closed_) return Push::kClosed;
      const auto of_lane = std::count_if(items_.begin(), items_.end(),
                                         [&](const Item& item) { return item.lane == lane; });
      if (items_.size() >= capacity_ || static_cast<std::size_t>(of_lane) >= lane_capacity_) {
        return Push::kFull;
      }
      items_.push_back({std::move(lane), std::move(work)});
    }
    changed_.notify_one();
    return Push::kAccepted;
  }

  // Waits for one of a lane that is free, which is taken by it until release(). Nothing: the queue
  // is closed and has none that is not under way or behind one that is.
  std::optional<Item> pop() {
    std::unique_lock lock(mutex_);
    for (;;) {
      const auto found = std::find_if(items_.begin(), items_.end(),
                                      [&](const Item& item) { return !is_taken(item.lane); });
      if (found != items_.end()) {
        Item item = std::move(*found);
        items_.erase(found);
        taken_.push_back(item.lane);
        return item;
      }
      if (closed_) return std::nullopt;
      changed_.wait_for(lock, kLook);
    }
  }

  void release(const Lane& lane) {
    {
      std::lock_guard lock(mutex_);
      const auto found = std::find(taken_.begin(), taken_.end(), lane);
      ASSERT(found != taken_.end());
      taken_.erase(found);
    }
    changed_.notify_one();
  }

  // No more pushes; what is queued can still be popped, by whoever releases its lane at the latest.
  void close() {
    {
      std::lock_guard lock(mutex_);
      closed_ = true;
    }
    changed_.notify_all();
  }

 private:
  static constexpr std::chrono::hours kLook{1};  // only to have a deadline; a change wakes it

  bool is_taken(const Lane& lane) const {
    return std::find(taken_.begin(), taken_.end(), lane) != taken_.end();
  }

  const std::size_t capacity_, lane_capacity_;
  std::mutex mutex_;  // guards all that follows
  std::condition_variable changed_;
  std::deque<Item> items_;
  std::vector<Lane> taken_;
  bool closed_ = false;
};

}  // namespace aioss
