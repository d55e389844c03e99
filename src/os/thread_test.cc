#include "os/thread.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstdint>
#include <limits>
#include <vector>

namespace aioss::os {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

struct Stack {
  void* lowest = nullptr;
  std::size_t bytes = 0;
};

Stack own_stack() {
  pthread_attr_t attributes;
  Stack stack;
  EXPECT_EQ(::pthread_getattr_np(::pthread_self(), &attributes), 0);
  EXPECT_EQ(::pthread_attr_getstack(&attributes, &stack.lowest, &stack.bytes), 0);
  ::pthread_attr_destroy(&attributes);
  return stack;
}

std::size_t taken_bytes(const Stack& stack) {
  constexpr std::size_t kPageBytes = 4096;
  std::vector<unsigned char> pages(stack.bytes / kPageBytes);
  EXPECT_EQ(::mincore(stack.lowest, pages.size() * kPageBytes, pages.data()), 0);
  std::size_t taken = 0;
  for (const unsigned char page : pages) taken += (page & 1U) != 0 ? kPageBytes : 0;
  return taken;
}

// Recurses until so much of the stack lies between `top` and here.
[[gnu::noinline]] int use_stack(std::uintptr_t top, std::size_t bytes) {
  volatile char room[1024];
  room[0] = 1;
  if (top - reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)) >= bytes) return room[0];
  const int below = use_stack(top, bytes);
  room[1] = 1;  // after the call, so that it stays one
  return below + room[1];
}

TEST(Thread, HasTheStackThatWasAskedFor) {
  std::size_t bytes = 0;
  int frames = 0;
  {
    const auto thread = Thread::start(100 * kMiB, [&] {
      bytes = own_stack().bytes;
      frames = use_stack(reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)), 90 * kMiB);
    });
    ASSERT_TRUE(thread) << thread.error().message;
    EXPECT_TRUE(thread->running());
  }
  EXPECT_GE(bytes, 99 * kMiB);
  EXPECT_GT(frames, 1000);
}

TEST(Thread, GivesUnusedStackBack) {
  std::size_t deep = 0, after = 0;
  {
    const auto thread = Thread::start(64 * kMiB, [&] {
      const Stack stack = own_stack();
      (void)use_stack(reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)), 32 * kMiB);
      deep = taken_bytes(stack);
      release_unused_stack();
      after = taken_bytes(stack);
    });
    ASSERT_TRUE(thread) << thread.error().message;
  }
  EXPECT_GE(deep, 31 * kMiB);
  EXPECT_LT(after, 4 * kMiB);
}

TEST(Thread, OneThatCannotBeStartedIsAnError) {
  const auto thread = Thread::start(std::numeric_limits<std::size_t>::max() / 4 * 2, [] {});
  ASSERT_FALSE(thread);
  EXPECT_EQ(thread.error().code, Code::kBusy);
  EXPECT_NE(thread.error().message.find("does not start another thread"), std::string::npos);
}

TEST(Thread, MovesAndJoinsOnce) {
  int ran = 0;
  Thread none;
  EXPECT_FALSE(none.running());
  none.join();
  auto thread = Thread::start(Thread::kSystemsStack, [&] { ++ran; });
  ASSERT_TRUE(thread);
  none = std::move(*thread);
  EXPECT_TRUE(none.running());
  EXPECT_FALSE(thread->running());
  none.join();
  none.join();
  EXPECT_EQ(ran, 1);
}

}  // namespace
}  // namespace aioss::os
