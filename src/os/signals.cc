#include "os/signals.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/assert.h"
#include "os/thread.h"

namespace aioss::os {
namespace {

sigset_t set_of(const std::vector<int>& signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) ASSERT(sigaddset(&set, signal) == 0);
  return set;
}

}  // namespace

void ignore_broken_pipes() {
  struct sigaction ignore{};
  ignore.sa_handler = SIG_IGN;
  ASSERT(::sigaction(SIGPIPE, &ignore, nullptr) == 0);
}

// Sent to this thread alone, so that the watcher does not take it.
void suspend_process() {
  const sigset_t set = set_of({SIGTSTP});
  sigset_t before;
  ::raise(SIGTSTP);
  ASSERT(::pthread_sigmask(SIG_UNBLOCK, &set, &before) == 0);  // here it stops
  ASSERT(::pthread_sigmask(SIG_SETMASK, &before, nullptr) == 0);
}

Result<std::unique_ptr<SignalWatcher>> SignalWatcher::create(const std::vector<int>& signals,
                                                             Callback callback) {
  const sigset_t set = set_of(signals);
  sigset_t before;
  if (const int failed = ::pthread_sigmask(SIG_BLOCK, &set, &before); failed != 0) {
    return error_from_errno(failed, "cannot block signals");
  }
  std::vector<int> unblock;
  for (const int signal : signals) {
    if (sigismember(&before, signal) == 0) unblock.push_back(signal);
  }
  Fd watched(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!watched.valid()) return error_from_errno(errno, "cannot watch signals");
  Fd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.valid()) return error_from_errno(errno, "cannot watch signals");
  return std::unique_ptr<SignalWatcher>(new SignalWatcher(std::move(unblock), std::move(watched),
                                                          std::move(wake), std::move(callback)));
}

Result<std::unique_ptr<SignalWatcher>> SignalWatcher::for_termination(Callback callback) {
  return create({SIGINT, SIGTERM, SIGHUP}, std::move(callback));
}

SignalWatcher::SignalWatcher(std::vector<int> unblock, Fd signals, Fd wake, Callback callback)
    : unblock_(std::move(unblock)),
      signals_(std::move(signals)),
      wake_(std::move(wake)),
      callback_(std::move(callback)),
      thread_([this] { run(); }) {}

void SignalWatcher::run() {
  set_thread_name("signals");
  for (;;) {
    std::array<pollfd, 2> events{{{signals_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}}};
    if (::poll(events.data(), events.size(), -1) < 0) {
      ASSERT(errno == EINTR);
      continue;
    }
    if (events[1].revents != 0) return;
    signalfd_siginfo info{};
    if (::read(signals_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
      callback_(static_cast<int>(info.ssi_signo));
    }
  }
}

SignalWatcher::~SignalWatcher() {
  const std::uint64_t one = 1;
  ASSERT(::write(wake_.get(), &one, sizeof one) == static_cast<ssize_t>(sizeof one));
  thread_.join();
  const sigset_t set = set_of(unblock_);
  ::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

}  // namespace aioss::os
