// Items from some threads to one other, in order, at most `capacity` at a time. Unlike BoundedQueue
// the consumer takes all that is there at once. No push waits. Thread-safe.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <utility>

#include "base/assert.h"

namespace aioss::worker {

template <typename T>
class Handoff final {
 public:
  explicit Handoff(std::size_t capacity) : capacity_(capacity) { ASSERT(capacity > 0); }
  Handoff(const Handoff&) = delete;
  Handoff& operator=(const Handoff&) = delete;

  // For producers whose items are bounded otherwise: that there is room is theirs to know. The item
  // is dropped once closed.
  void put(T item) {
    {
      std::lock_guard lock(mutex_);
      if (closed_) return;
      ASSERT(items_.size() < capacity_);
      items_.push_back(std::move(item));
    }
    ready_.notify_one();
  }

  // False, and the item is dropped, if there is no room or it is closed.
  bool try_push(T item) {
    {
      std::lock_guard lock(mutex_);
      if (closed_ || items_.size() >= capacity_) return false;
      items_.push_back(std::move(item));
    }
    ready_.notify_one();
    return true;
  }

  // Everything that is there, waiting at most `timeout` for the first item. Nothing if the time is
  // up, or closed and empty.
  std::deque<T> take_all(std::chrono::milliseconds timeout) {
    std::deque<T> taken;
    {
      std::unique_lock lock(mutex_);
      if (timeout.count() > 0) {
        ready_.wait_for(lock, timeout, [&] { return !items_.empty() || closed_; });
      }
      taken.swap(items_);
    }
    return taken;
  }

  // No more pushes; what is there can still be taken.
  void close() {
    {
      std::lock_guard lock(mutex_);
      closed_ = true;
    }
    ready_.notify_all();
  }

  bool finished() const {  // closed, and everything was taken
    std::lock_guard lock(mutex_);
    return closed_ && items_.empty();
  }

 private:
  const std::size_t capacity_;
  mutable std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<T> items_;  // guarded by mutex_
  bool closed_ = false;  // guarded by mutex_
};

}  // namespace aioss::worker
