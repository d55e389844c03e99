// Ctrl-C and its relatives, counted, for code that waits in small steps. Thread-safe. Create it
// before any other thread of the command (os/signals.h).
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "base/result.h"
#include "os/signals.h"

namespace aioss::cli {

class Interrupt final {
 public:
  // SIGINT and SIGTERM.
  static Result<std::unique_ptr<Interrupt>> create();
  // For what draws on the whole screen and must put it right first: also SIGQUIT, as a SIGTERM, and
  // SIGTSTP (Ctrl-Z).
  static Result<std::unique_ptr<Interrupt>> for_screen();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  // SIGINTs since the last call: Ctrl-C at a terminal. SIGTERM counts too, and stays.
  bool take();
  bool terminated() const;  // by SIGTERM: leave, whatever is under way
  // Once for a SIGTSTP, if there is nothing to leave for: see os::suspend_process().
  bool take_suspension();
  // Waits for any of them; true if there is one. Takes nothing.
  bool wait_for(std::chrono::milliseconds timeout);

 private:
  Interrupt() = default;
  static Result<std::unique_ptr<Interrupt>> watch(const std::vector<int>& signals);
  void note(int signal);
  bool is_any() const { return interrupted_ || terminated_ || suspended_; }
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool interrupted_ = false;                    // guarded by mutex_
  bool terminated_ = false;                     // guarded by mutex_
  bool suspended_ = false;                      // guarded by mutex_
  std::unique_ptr<os::SignalWatcher> watcher_;  // last: its thread uses the others
};

}  // namespace aioss::cli
