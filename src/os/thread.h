// Threads: their names, seen in `top -H`, in core files and in /proc, and a thread whose stack has
// the size that its work needs.
#pragma once

#include <pthread.h>

#include <cstddef>
#include <functional>
#include <string_view>

#include "base/result.h"

namespace aioss::os {

// Of this process, the caller's included. 1 where nobody can say: without /proc, where the sandbox
// has put it out of reach, or under ThreadSanitizer, which has one of its own.
std::size_t thread_count();

// Names the calling thread. The kernel keeps 15 bytes; the rest is cut.
void set_thread_name(std::string_view name);

// Unlike std::thread it says how large the stack is, and that none could be started is an Error and
// no exception. Belongs to one owner, who outlives what `body` refers to; joined when destroyed.
class Thread final {
 public:
  static constexpr std::size_t kSystemsStack = 0;

  // kBusy if the system gives no thread, or none with such a stack. The stack's memory is taken as
  // it is touched. `body` throws nothing.
  static Result<Thread> start(std::size_t stack_bytes, std::function<void()> body);
  Thread() = default;  // none
  ~Thread() { join(); }
  Thread(Thread&& other) noexcept;
  Thread& operator=(Thread&& other) noexcept;

  bool running() const { return running_; }  // or ended, and not joined
  void join();                               // nothing if there is none

 private:
  explicit Thread(pthread_t handle) : handle_(handle), running_(true) {}
  pthread_t handle_{};
  bool running_ = false;
};

// Gives back the memory that the calling Thread's stack took when it was deeper than now.
void release_unused_stack();

}  // namespace aioss::os
