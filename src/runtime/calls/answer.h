// One value that one thread waits for and another gives, once. Shared between both, because the
// waiting side may give up first. Thread-safe.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>

#include "base/result.h"

namespace aioss::runtime {

// How long callers wait for the runtime thread, which itself never waits.
inline constexpr std::chrono::seconds kAnswerWait{10};

template <typename T>
class Answer final {
 public:
  // The first value counts; later ones are dropped.
  void give(Result<T> value) {
    std::lock_guard lock(mutex_);
    if (value_) return;
    value_.emplace(std::move(value));
    ready_.notify_all();  // with the lock held, for those that are not shared: then it may be gone
  }

  // The value once it is there; nothing if the time is up first.
  std::optional<Result<T>> wait_for(std::chrono::milliseconds timeout) {
    std::unique_lock lock(mutex_);
    ready_.wait_for(lock, timeout, [&] { return value_.has_value(); });
    return value_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable ready_;
  std::optional<Result<T>> value_;  // guarded by mutex_
};

}  // namespace aioss::runtime
