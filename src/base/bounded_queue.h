// How work crosses threads (or, in lanes, base/lane_queue.h): many producers, one or more
// consumers, a fixed capacity that the owner derives and names. Producers never block; a full queue
// is an answer, not a wait.
#pragma once

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

template <typename T>
class BoundedQueue final {
 public:
  enum class Push { kAccepted, kFull, kClosed };

  explicit BoundedQueue(std::size_t capacity) : capacity_(capacity) { ASSERT(capacity > 0); }
  BoundedQueue(const BoundedQueue&) = delete;
  BoundedQueue& operator=(const BoundedQueue&) = delete;

  Push try_push(T item) {
    {
      std::lock_guard lock(mutex_);
      if (closed_) return Push::kClosed;
      if (items_.size() >= capacity_) return Push::kFull;
      items_.push_back(std::move(item));
    }
    ready_.notify_one();
    return Push::kAccepted;
  }

  // Waits until there is an item, the queue is closed (then nothing) or the time is up (nothing).
  std::optional<T> pop_for(std::chrono::nanoseconds timeout) {
    std::unique_lock lock(mutex_);
    ready_.wait_for(lock, timeout, [&] { return !items_.empty() || closed_; });
    return take_front();
  }

  std::optional<T> try_pop() {
    std::lock_guard lock(mutex_);
    return take_front();
  }

  // Everything queued now, up to `limit`, waiting at most `timeout` for the first item.
  std::vector<T> drain_for(std::chrono::nanoseconds timeout, std::size_t limit) {
    std::unique_lock lock(mutex_);
    ready_.wait_for(lock, timeout, [&] { return !items_.empty() || closed_; });
    std::vector<T> taken;
    while (!items_.empty() && taken.size() < limit) taken.push_back(*take_front());
    return taken;
  }

  // No more pushes; what is queued can still be popped.
  void close() {
    {
      std::lock_guard lock(mutex_);
      closed_ = true;
    }
    ready_.notify_all();
  }

  bool closed() const {
    std::lock_guard lock(mutex_);
    return closed_;
  }
  std::size_t size() const {
    std::lock_guard lock(mutex_);
    return items_.size();
  }
  std::size_t capacity() const { return capacity_; }

 private:
  std::optional<T> take_front() {  // with mutex_ held
    if (items_.empty()) return std::nullopt;
    std::optional<T> item(std::move(items_.front()));
    items_.pop_front();
    return item;
  }

  const std::size_t capacity_;
  mutable std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<T> items_;  // guarded by mutex_
  bool closed_ = false;  // guarded by mutex_
};

}  // namespace aioss
