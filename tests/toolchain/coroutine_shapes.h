// What the programs of this folder share: coroutines that count what they make and destroy, and a
// table of shapes of co_await, each run in a process of its own. A program prints its table, fails
// if a shape that the house rules allow is broken on this compiler, and only tells about the
// forbidden ones: they may well work. Included once a program; one thread.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <coroutine>
#include <cstdio>
#include <exception>
#include <optional>
#include <span>
#include <utility>

namespace toolchain {

// A coroutine that starts when it is awaited or resumed, and resumes its awaiter at its end.
class Task final {
 public:
  struct promise_type {
    std::coroutine_handle<> continuation = std::noop_coroutine();

    struct Final {
      bool await_ready() noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> ended) noexcept {
        return ended.promise().continuation;
      }
      void await_resume() noexcept {}
    };
    Task get_return_object() {
      return Task(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    Final final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };

  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  ~Task() {
    if (handle_) handle_.destroy();
  }

  bool await_ready() const { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiter) {
    handle_.promise().continuation = awaiter;
    return handle_;
  }
  void await_resume() const {}

  void resume() { handle_.resume(); }
  bool done() const { return handle_.done(); }

 private:
  explicit Task(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
  std::coroutine_handle<promise_type> handle_;
};

inline std::coroutine_handle<> parked;  // what the one suspended Pause waits to be resumed

struct Pause {
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) const { parked = handle; }
  void await_resume() const {}
};

inline int alive = 0;  // 0 at the end of each shape, or something was destroyed too often or never

struct Counted {
  Counted() { ++alive; }
  Counted(const Counted&) { ++alive; }
  Counted(Counted&&) noexcept { ++alive; }
  ~Counted() { --alive; }
  bool here() const { return alive > 0; }
};

struct Shape {
  bool allowed;
  const char* what;
  Task (*start)();
};

// Resumes the shape to its end; whether it got there and everything was destroyed exactly once.
inline bool works(const Shape& shape) {
  constexpr int kResumesMax = 16;  // no shape suspends more often
  alive = 0;
  bool done = false;
  {
    Task task = shape.start();
    task.resume();
    for (int i = 0; i < kResumesMax && !task.done() && parked; ++i) {
      std::exchange(parked, nullptr).resume();
    }
    done = task.done();
  }
  return done && alive == 0;
}

// In a process of its own: what is broken may crash or never end.
inline bool works_apart(const Shape& shape) {
  constexpr unsigned kSecondsMax = 10;
  const pid_t child = fork();
  if (child == 0) {
    alarm(kSecondsMax);
    _exit(works(shape) ? 0 : 1);
  }
  int status = -1;
  return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

// The exit status of the program.
inline int run_shapes(std::span<const Shape> shapes) {
  int broken_allowed = 0;
  for (const Shape& shape : shapes) {
    const bool fine = works_apart(shape);
    if (shape.allowed && !fine) ++broken_allowed;
    std::printf("%-9s  %-6s  %s\n", shape.allowed ? "allowed" : "forbidden",
                fine ? "works" : "BROKEN", shape.what);
  }
  if (broken_allowed == 0) return 0;
  std::printf("%d shape(s) that the house rules allow are broken on this compiler\n",
              broken_allowed);
  return 1;
}

}  // namespace toolchain
