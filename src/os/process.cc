#include "os/process.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <future>
#include <system_error>
#include <thread>

#include "base/assert.h"
#include "os/thread.h"

namespace aioss::os {
namespace {

constexpr int kExecFailedExitCode = 127;  // as shells have it

// Everything the child needs, made before it exists: between vfork and exec it shares our memory
// and may not allocate, lock or throw.
struct Plan {
  const char* executable = nullptr;
  std::vector<char*> arguments, environment;     // null-terminated
  std::vector<std::pair<int, int>> descriptors;  // (number in the child, ours)
  std::vector<int> staged;                       // one per descriptor, filled in the child
  int first_free = 3;                            // above every number in the child
  int error_pipe = -1;
  pid_t parent = 0;
  bool inherit_output = true, die_with_parent = true, own_process_group = true;
};

std::vector<char*> pointers_to(const std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (const std::string& text : texts) out.push_back(const_cast<char*>(text.c_str()));
  out.push_back(nullptr);
  return out;
}

Plan make_plan(const SpawnOptions& options, int error_pipe) {
  Plan plan;
  plan.executable = options.executable.c_str();
  plan.arguments = pointers_to(options.arguments);
  plan.environment = pointers_to(options.environment);
  plan.descriptors = options.descriptors;
  plan.staged.resize(options.descriptors.size());
  for (const auto& [number, ours] : options.descriptors) {
    plan.first_free = std::max(plan.first_free, number + 1);
  }
  plan.error_pipe = error_pipe;
  plan.parent = ::getpid();
  plan.inherit_output = options.inherit_output;
  plan.die_with_parent = options.die_with_parent;
  plan.own_process_group = options.own_process_group;
  return plan;
}

// From here to the end of run_child(): in the child, async-signal-safe calls only.
[[noreturn]] void fail_child(int error_pipe, int error_number) {
  // A short write of four bytes to an empty pipe does not happen; there is nobody to tell if it
  // did.
  [[maybe_unused]] const ssize_t put = ::write(error_pipe, &error_number, sizeof error_number);
  ::_exit(kExecFailedExitCode);
}

// Marks every descriptor to be closed by exec. Kernels before 5.11 know no CLOSE_RANGE_CLOEXEC.
void close_all_at_exec() {
  if (::syscall(SYS_close_range, 0U, ~0U, CLOSE_RANGE_CLOEXEC) == 0) return;
  const long limit = ::sysconf(_SC_OPEN_MAX);
  for (int fd = 0; fd < (limit > 0 ? limit : 65536); ++fd) {
    const int flags = ::fcntl(fd, F_GETFD);
    if (flags >= 0) ::fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
  }
}

bool is_target(const Plan& plan, int number) {
  for (const auto& [target, ours] : plan.descriptors) {
    if (target == number) return true;
  }
  return false;
}

bool put_null(int number, int flags) {
  const int fd = ::open("/dev/null", flags | O_CLOEXEC);
  if (fd < 0) return false;
  if (fd == number) return ::fcntl(fd, F_SETFD, 0) == 0;
  return ::dup2(fd, number) >= 0;  // `fd` itself is closed by exec
}

// First every source to a number above all targets, then to its place: no target can overwrite a
// source that is still needed. dup2 leaves the copy open across exec.
bool place_descriptors(Plan& plan) {
  plan.error_pipe = ::fcntl(plan.error_pipe, F_DUPFD_CLOEXEC, plan.first_free);
  if (plan.error_pipe < 0) return false;
  for (std::size_t i = 0; i < plan.descriptors.size(); ++i) {
    plan.staged[i] = ::fcntl(plan.descriptors[i].second, F_DUPFD_CLOEXEC, plan.first_free);
    if (plan.staged[i] < 0) return false;
  }
  if (!is_target(plan, STDIN_FILENO) && !put_null(STDIN_FILENO, O_RDONLY)) return false;
  for (const int number : {STDOUT_FILENO, STDERR_FILENO}) {
    const bool inherited = number != STDOUT_FILENO || plan.inherit_output;
    if (is_target(plan, number)) continue;
    if (inherited && ::fcntl(number, F_SETFD, 0) == 0) continue;
    if (!put_null(number, O_WRONLY)) return false;  // never free for a later open() to take
  }
  for (std::size_t i = 0; i < plan.descriptors.size(); ++i) {
    if (::dup2(plan.staged[i], plan.descriptors[i].first) < 0) return false;
  }
  return true;
}

// Dispositions first, then the mask: a signal that waited meets the default action, never a handler
// of the parent's in memory that is the parent's.
void reset_signals() {
  struct sigaction standard{};
  standard.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) ::sigaction(signal, &standard, nullptr);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

[[noreturn]] void run_child(Plan& plan) {
  const int early_error_pipe = plan.error_pipe;
  if (plan.die_with_parent) {
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) fail_child(early_error_pipe, errno);
    // The parent may have died before the line above; then nobody would ever send the signal.
    if (::getppid() != plan.parent) ::_exit(kExecFailedExitCode);
  }
  if (plan.own_process_group && ::setpgid(0, 0) != 0) fail_child(early_error_pipe, errno);
  close_all_at_exec();
  if (!place_descriptors(plan)) {
    fail_child(plan.error_pipe >= 0 ? plan.error_pipe : early_error_pipe, errno);
  }
  reset_signals();
  ::execve(plan.executable, plan.arguments.data(), plan.environment.data());
  fail_child(plan.error_pipe, errno);
}

// vfork, because a fork would copy the page tables of a process that may map gigabytes. This
// function must do nothing else: the child runs on its stack.
[[gnu::noinline]] pid_t start_child(Plan& plan) {
  const pid_t pid = ::vfork();
  if (pid == 0) run_child(plan);
  return pid;
}

void reap(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
}

struct Started {
  pid_t pid = -1;
  Fd pidfd;
};

Result<Started> start(const SpawnOptions& options) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return error_from_errno(errno, "cannot start a process");
  const Fd reading(ends[0]);
  Fd writing(ends[1]);
  Plan plan = make_plan(options, writing.get());

  // No handler of ours may run in the child while it shares our memory.
  sigset_t all, before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = start_child(plan);
  const int fork_error = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) return error_from_errno(fork_error, "cannot start a process");

  writing.reset();
  int exec_error = 0;
  ssize_t got = 0;
  do {
    got = ::read(reading.get(), &exec_error, sizeof exec_error);
  } while (got < 0 && errno == EINTR);
  if (got == static_cast<ssize_t>(sizeof exec_error)) {
    reap(pid);
    return error_from_errno(exec_error, "cannot start " + options.executable);
  }
  Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));  // close-on-exec by itself
  if (!pidfd.valid()) {
    const int failed = errno;
    ::kill(pid, SIGKILL);
    reap(pid);
    return error_from_errno(failed, "cannot watch a process");
  }
  return Started{pid, std::move(pidfd)};
}

bool wait_readable(int fd, std::chrono::milliseconds timeout) {
  using Clock = std::chrono::steady_clock;
  const bool for_ever = timeout.count() < 0;
  const Clock::time_point deadline = Clock::now() + (for_ever ? timeout.zero() : timeout);
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    const auto bounded = std::clamp<std::int64_t>(left.count(), 0, 1'000'000);
    pollfd event{fd, POLLIN, 0};
    const int ready = ::poll(&event, 1, for_ever ? -1 : static_cast<int>(bounded));
    if (ready > 0) return true;
    ASSERT(ready == 0 || errno == EINTR);
    if (!for_ever && Clock::now() >= deadline) return false;
  }
}

Status check_options(const SpawnOptions& options) {
  for (const auto& [number, ours] : options.descriptors) {
    ASSERT(number >= 0);
    if (ours < 0) return Error{Code::kInternal, "a descriptor for a child process is not open"};
  }
  return ok();
}

}  // namespace

// Started the child and waits for its end, and for nothing else.
struct Child::Keeper {
  std::thread thread;
  ~Keeper() {
    if (thread.joinable()) thread.join();
  }
};

std::string ExitStatus::describe() const {
  if (!signaled) return "exit code " + std::to_string(value);
  const char* const name = ::sigdescr_np(value);
  return "signal " + std::to_string(value) + " (" + (name != nullptr ? name : "unknown") + ")";
}

Child::Child(int pid, Fd pidfd, std::unique_ptr<Keeper> keeper)
    : pid_(pid), pidfd_(std::move(pidfd)), keeper_(std::move(keeper)) {}

Result<Child> Child::spawn(const SpawnOptions& options) {
  AIOSS_CHECK(check_options(options));
  if (!options.die_with_parent) {
    AIOSS_TRY(Started started, start(options));
    return Child(started.pid, std::move(started.pidfd), nullptr);
  }
  auto keeper = std::make_unique<Keeper>();
  std::promise<Result<Started>> promise;
  std::future<Result<Started>> future = promise.get_future();
  auto keep = [&options, promise = std::move(promise)]() mutable {
    set_thread_name("keeper");
    Result<Started> started = start(options);
    // A number, not the object: that belongs to the Child, which joins this thread before it closes
    // it.
    const int pidfd = started ? started->pidfd.get() : -1;
    promise.set_value(std::move(started));  // `options` is gone from here on
    if (pidfd >= 0) wait_readable(pidfd, std::chrono::milliseconds(-1));
  };
  try {
    keeper->thread = std::thread(std::move(keep));
  } catch (const std::system_error& failed) {
    return error_from_errno(failed.code().value(), "cannot start a thread");
  }
  AIOSS_TRY(Started started, future.get());
  return Child(started.pid, std::move(started.pidfd), std::move(keeper));
}

Child::Child(Child&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      pidfd_(std::move(other.pidfd_)),
      keeper_(std::move(other.keeper_)),
      status_(std::exchange(other.status_, std::nullopt)) {}

Child& Child::operator=(Child&& other) noexcept {
  if (this == &other) return *this;
  end();
  pid_ = std::exchange(other.pid_, -1);
  pidfd_ = std::move(other.pidfd_);
  keeper_ = std::move(other.keeper_);
  status_ = std::exchange(other.status_, std::nullopt);
  return *this;
}

Child::~Child() {
  end();
}

void Child::end() {
  if (!pidfd_.valid()) return;
  if (!status_) {
    (void)send_signal(SIGKILL);
    (void)wait_for(std::chrono::milliseconds(-1));
  }
  keeper_.reset();
  pidfd_.reset();
}

Status Child::send_signal(int signal) {
  if (!pidfd_.valid() || status_) return Error{Code::kNotFound, "the process has ended"};
  // By pidfd: a number could have become another process's.
  if (::syscall(SYS_pidfd_send_signal, pidfd_.get(), signal, nullptr, 0) == 0) return ok();
  if (errno == ESRCH) return Error{Code::kNotFound, "the process has ended"};
  return error_from_errno(errno, "cannot signal a process");
}

std::optional<ExitStatus> Child::wait_for(std::chrono::milliseconds timeout) {
  if (status_) return status_;
  if (!pidfd_.valid() || !wait_readable(pidfd_.get(), timeout)) return std::nullopt;
  siginfo_t info{};
  int failed = 0;
  do {
    failed = ::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED);
  } while (failed != 0 && errno == EINTR);
  // Somebody else reaped it (SIGCHLD ignored): that it ended is all there is to know.
  if (failed != 0) return status_ = ExitStatus{true, SIGKILL};
  return status_ = ExitStatus{info.si_code != CLD_EXITED, info.si_status};
}

Result<std::pair<Fd, Fd>> socket_pair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return error_from_errno(errno, "cannot make a pair of sockets");
  }
  return std::pair<Fd, Fd>(Fd(ends[0]), Fd(ends[1]));
}

}  // namespace aioss::os
