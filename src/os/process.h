// Child processes: start with exactly the descriptors they are meant to have, and learn of their
// end at once. Thread-safe functions; a Child belongs to one owner.
//
// "Die with the parent" is the kernel's PR_SET_PDEATHSIG, which follows the parent *thread*, not
// the process: a child started from a thread that ends would be killed with it. So each such child
// is started by a thread of its own (its keeper), which lives exactly as long as the child; spawn()
// may then be called from any thread, and the child dies if and only if the whole process does. A
// keeper sleeps in poll() and costs a stack.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "os/file.h"

namespace aioss::os {

struct SpawnOptions {
  std::string executable;                // "/proc/self/exe" for ourselves
  std::vector<std::string> arguments;    // argv[0] first
  std::vector<std::string> environment;  // "NAME=value"; nothing else is inherited
  // (number in the child, our descriptor). Standard input is /dev/null, output and error are
  // inherited unless listed; every other descriptor is closed in the child.
  std::vector<std::pair<int, int>> descriptors;
  bool inherit_output = true;   // false: standard output is /dev/null too, unless listed
  bool die_with_parent = true;  // SIGKILL if our process ends
  // A process group of its own: Ctrl-C in our terminal is then ours to handle, not the child's end.
  bool own_process_group = true;
};

struct ExitStatus {
  bool signaled = false;
  int value = 0;  // the signal or the exit code
  bool success() const { return !signaled && value == 0; }
  std::string describe() const;  // "exit code 3", "signal 9 (Killed)"
};

// Owns a child and its pidfd: kills and reaps it when destroyed. Needs SIGCHLD not to be ignored.
class Child final {
 public:
  static Result<Child> spawn(const SpawnOptions& options);
  ~Child();
  Child(Child&& other) noexcept;
  Child& operator=(Child&& other) noexcept;

  int pid() const { return pid_; }
  int pidfd() const { return pidfd_.get(); }  // readable (poll) once the child has ended
  Status send_signal(int signal);             // kNotFound once it has ended
  // The status once it has ended; nothing if the time is up first. Negative: wait for ever.
  std::optional<ExitStatus> wait_for(std::chrono::milliseconds timeout);

 private:
  struct Keeper;
  Child(int pid, Fd pidfd, std::unique_ptr<Keeper> keeper);
  void end();  // kills, reaps, ends the keeper
  int pid_ = -1;
  Fd pidfd_;
  std::unique_ptr<Keeper> keeper_;  // none unless die_with_parent
  std::optional<ExitStatus> status_;
};

// A connected pair of stream sockets, close-on-exec.
Result<std::pair<Fd, Fd>> socket_pair();

}  // namespace aioss::os
