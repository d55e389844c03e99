// For tests of the sandbox. Every case runs in a fork of the test, because a confinement cannot be
// left. What happens there is reported as text through a pipe that was opened before.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <functional>
#include <string>

#include "os/sandbox.h"

namespace aioss::os {

enum class Stage { kOne, kTwo };

// Collects what went wrong; an empty report is a success.
class Report final {
 public:
  void expect(bool true_, const std::string& what) {
    const int failed = errno;
    if (!true_) text_ += what + " [errno: " + ::strerror(failed) + "]\n";
  }
  void refused(long result, const std::string& what) {
    expect(result == -1 && (errno == EPERM || errno == EACCES), what + " was not refused");
  }
  // Refused before the kernel looked at it: Landlock would have said EACCES.
  void refused_by_filter(long result, const std::string& what) {
    expect(result == -1 && errno == EPERM, what + " was not refused by the filter");
  }
  void note(const std::string& what) { text_ += what + '\n'; }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

struct Ended {
  std::string text;
  int status = 0;
};

// Runs `body` in a confined fork; as the user `as`, if this one may be another.
inline Ended confined(Stage stage, const std::function<void(Report&)>& body,
                      SandboxFor device = SandboxFor::kCpu, int plugin_fd = -1,
                      uid_t as = ::getuid()) {
  int ends[2];
  EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    Report report;
    report.expect(as == ::getuid() || ::setresuid(as, as, as) == 0, "becoming another user");
    // As after execve(), which every worker begins with.
    report.expect(::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0, "being dumpable");
    const auto one = enter_stage_one(device, plugin_fd);
    if (!one) report.note("stage one: " + one.error().message);
    if (one && stage == Stage::kTwo) {
      if (const auto two = enter_stage_two(device); !two)
        report.note("stage two: " + two.error().message);
    }
    if (report.text().empty()) body(report);
    const ssize_t put = ::write(ends[1], report.text().data(), report.text().size());
    ::_exit(put == static_cast<ssize_t>(report.text().size()) ? 0 : 9);
  }
  ::close(ends[1]);
  Ended ended;
  char buffer[4096];
  ssize_t got = 0;
  while ((got = ::read(ends[0], buffer, sizeof buffer)) > 0) {
    ended.text.append(buffer, static_cast<std::size_t>(got));
  }
  ::close(ends[0]);
  ::waitpid(pid, &ended.status, 0);
  return ended;
}

inline void expect_clean(const Ended& ended) {
  EXPECT_EQ(ended.text, "");
  EXPECT_TRUE(WIFEXITED(ended.status) && WEXITSTATUS(ended.status) == 0)
      << "status " << ended.status;
}

}  // namespace aioss::os
