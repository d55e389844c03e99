// Each case ends a fork of the test.
#include "os/last_words.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <string>

#include "os/process.h"

namespace aioss::os {
namespace {

constexpr int kExitCode = 78;

struct End {
  std::string words;
  int exit_code = -1;  // -1: by a signal
};

// What a process says and how it ends that runs `body` while the words are armed.
template <typename Body>
End end_of(std::chrono::seconds time_max, Body body) {
  auto sockets = socket_pair();
  EXPECT_TRUE(sockets);
  const pid_t pid = ::fork();
  if (pid == 0) {
    {
      const auto words =
          LastWords::arm(sockets->second.get(), time_max, kExitCode, [](std::string_view how) {
            const std::string text = "it " + std::string(how);
            return Bytes(text.begin(), text.end());
          });
      if (!words) ::_exit(1);
      body();
    }
    ::_exit(0);
  }
  sockets->second.reset();
  End end;
  std::array<char, 256> buffer{};
  const ssize_t got = ::read(sockets->first.get(), buffer.data(), buffer.size());
  if (got > 0) end.words.assign(buffer.data(), static_cast<std::size_t>(got));
  int status = 0;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  if (WIFEXITED(status)) end.exit_code = WEXITSTATUS(status);
  return end;
}

int overflow(int depth) {
  volatile char room[4096];
  room[0] = static_cast<char>(depth);
  return depth < 0 ? 0 : overflow(depth + 1) + room[0];
}

TEST(LastWords, ACrashIsTold) {
  const End end = end_of(std::chrono::seconds(60), [] { ::raise(SIGSEGV); });
  EXPECT_EQ(end.words, "it crashed (Segmentation fault)");
  EXPECT_EQ(end.exit_code, kExitCode);
}

TEST(LastWords, AnAbortIsTold) {
  EXPECT_EQ(end_of(std::chrono::seconds(60), [] { ::abort(); }).words, "it crashed (Aborted)");
}

TEST(LastWords, AStackThatRanOverIsTold) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer has its own stack for signals";
#endif
  EXPECT_EQ(end_of(std::chrono::seconds(60), [] { (void)overflow(0); }).words,
            "it crashed (Segmentation fault)");
}

TEST(LastWords, WhatDoesNotComeBackIsTold) {
  const End end = end_of(std::chrono::seconds(1), [] {
    for (;;) ::pause();
  });
  EXPECT_EQ(end.words, "it did not come back within 1 s");
  EXPECT_EQ(end.exit_code, kExitCode);
}

TEST(LastWords, NothingIsSaidOfWhatGoesWell) {
  const End end = end_of(std::chrono::seconds(60), [] {});
  EXPECT_EQ(end.words, "");
  EXPECT_EQ(end.exit_code, 0);
}

}  // namespace
}  // namespace aioss::os
