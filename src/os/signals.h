// Requests to stop, as callbacks on an ordinary thread, where everything is allowed, instead of
// inside a signal handler, where almost nothing is.
#pragma once

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "base/result.h"
#include "os/file.h"

namespace aioss::os {

// Writing to a closed pipe or socket then is an error (EPIPE), not the end of the process. First
// thing in main(). Children started by Child::spawn get the default action back.
void ignore_broken_pipes();

// What Ctrl-Z does, for a program that watches SIGTSTP to put its terminal right first. Returns
// when the process goes on: at once, if no shell of its session could make it go on (an orphaned
// group).
void suspend_process();

// Owns a thread named "signals". Create it in main() before any other thread: threads inherit the
// mask that leaves the signals to this one. One at a time in a process.
class SignalWatcher final {
 public:
  using Callback = std::function<void(int signal)>;
  // `callback` runs on the thread, once for each signal taken; it must not destroy the watcher.
  static Result<std::unique_ptr<SignalWatcher>> create(const std::vector<int>& signals,
                                                       Callback callback);
  // SIGINT, SIGTERM and SIGHUP.
  static Result<std::unique_ptr<SignalWatcher>> for_termination(Callback callback);
  // Joins the thread and gives the signals their earlier disposition back, in the calling thread.
  ~SignalWatcher();
  SignalWatcher(const SignalWatcher&) = delete;
  SignalWatcher& operator=(const SignalWatcher&) = delete;

 private:
  SignalWatcher(std::vector<int> unblock, Fd signals, Fd wake, Callback callback);
  void run();

  const std::vector<int> unblock_;  // those that were not blocked before
  Fd signals_, wake_;
  Callback callback_;
  std::thread thread_;
};

}  // namespace aioss::os
