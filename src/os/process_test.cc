#include "os/process.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <map>
#include <sstream>
#include <thread>

namespace aioss::os {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using testing::HasSubstr;

constexpr milliseconds kForEver{-1};

struct Pipe {
  Fd reading, writing;
};

Pipe make_pipe() {
  int ends[2];
  EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  return {Fd(ends[0]), Fd(ends[1])};
}

std::string read_all(int fd) {
  std::string out;
  char buffer[4096];
  ssize_t got = 0;
  while ((got = ::read(fd, buffer, sizeof buffer)) > 0) {
    out.append(buffer, static_cast<std::size_t>(got));
  }
  return out;
}

SpawnOptions shell(const std::string& script) {
  SpawnOptions options;
  options.executable = "/bin/sh";
  options.arguments = {"sh", "-c", script};
  return options;
}

// Runs a program whose standard output is a pipe; what it wrote.
std::string output_of(SpawnOptions options, int exit_code = 0) {
  Pipe pipe = make_pipe();
  options.descriptors.emplace_back(STDOUT_FILENO, pipe.writing.get());
  auto child = Child::spawn(options);
  EXPECT_TRUE(child) << child.error().message;
  pipe.writing.reset();
  std::string out = read_all(pipe.reading.get());
  EXPECT_EQ(child->wait_for(kForEver)->value, exit_code);
  return out;
}

// Every descriptor that the child really has, and what it refers to. The shell lists them, one of
// the list being the folder it lists, and becomes `stat`, which fails for that one.
std::map<int, std::string> descriptors_of(SpawnOptions options) {
  const Fd quiet(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  options.descriptors.emplace_back(STDERR_FILENO, quiet.get());
  options.arguments = {"sh", "-c", "exec /usr/bin/stat -c %N /proc/$$/fd/*"};
  std::istringstream lines(output_of(std::move(options), 1));
  std::map<int, std::string> out;
  for (std::string line; std::getline(lines, line);) {  // '/proc/1/fd/0' -> '/dev/null'
    const std::size_t arrow = line.find("' -> '");
    const std::size_t slash = line.rfind('/', arrow);
    const int number = std::stoi(line.substr(slash + 1));
    out[number] = line.substr(arrow + 6, line.size() - arrow - 7);
  }
  return out;
}

TEST(Process, ExitCodeAndSignalAreTold) {
  auto failing = Child::spawn(shell("exit 3"));
  ASSERT_TRUE(failing);
  EXPECT_EQ(failing->wait_for(kForEver)->describe(), "exit code 3");
  EXPECT_FALSE(failing->wait_for(milliseconds(0))->success());  // again: the same answer

  auto killed = Child::spawn(shell("kill -SEGV $$"));
  ASSERT_TRUE(killed);
  EXPECT_EQ(killed->wait_for(kForEver)->describe(), "signal 11 (Segmentation fault)");
}

TEST(Process, WaitingEndsWithTheTimeAndTheDescriptorTellsOfTheEnd) {
  auto child = Child::spawn(shell("exec sleep 1000"));
  ASSERT_TRUE(child);
  EXPECT_EQ(child->wait_for(milliseconds(1)), std::nullopt);
  pollfd event{child->pidfd(), POLLIN, 0};
  EXPECT_EQ(::poll(&event, 1, 0), 0);
  ASSERT_TRUE(child->send_signal(SIGKILL));
  EXPECT_EQ(::poll(&event, 1, -1), 1);
  EXPECT_EQ(child->wait_for(kForEver)->describe(), "signal 9 (Killed)");
  EXPECT_EQ(child->send_signal(SIGTERM).error().code, Code::kNotFound);
}

TEST(Process, DestructionKillsAndReaps) {
  int pid = -1;
  {
    auto child = Child::spawn(shell("trap '' TERM INT HUP; exec sleep 1000"));
    ASSERT_TRUE(child);
    pid = child->pid();
    EXPECT_EQ(::kill(pid, 0), 0);
    Child moved = std::move(*child);
    EXPECT_EQ(moved.pid(), pid);
    EXPECT_EQ(::kill(pid, 0), 0);  // the empty one that was moved from ends nobody
  }
  EXPECT_EQ(::waitpid(pid, nullptr, WNOHANG), -1);  // no zombie is left
  EXPECT_EQ(errno, ECHILD);
}

TEST(Process, AMissingProgramIsAnError) {
  SpawnOptions options;
  options.executable = "/no/such/program";
  options.arguments = {"x"};
  const auto child = Child::spawn(options);
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().code, Code::kNotFound);
  EXPECT_THAT(child.error().message, HasSubstr("/no/such/program: No such file"));
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);  // the half-made child was reaped
}

TEST(Process, OnlyTheGivenEnvironment) {
  SpawnOptions options;
  options.executable = "/usr/bin/env";
  options.arguments = {"env"};
  options.environment = {"AIOSS_A=1", "AIOSS_B=two words"};
  EXPECT_EQ(output_of(options), "AIOSS_A=1\nAIOSS_B=two words\n");
}

TEST(Process, ExactlyTheGivenDescriptors) {
  // Open here and not close-on-exec: exactly what must not leak.
  const Fd leaked(::open("/etc/hostname", O_RDONLY));
  const Fd high(::fcntl(leaked.get(), F_DUPFD, 200));
  ASSERT_TRUE(high.valid());
  auto sockets = socket_pair();
  ASSERT_TRUE(sockets);
  const Fd model(::open("/etc/passwd", O_RDONLY | O_CLOEXEC));

  SpawnOptions options = shell("");
  options.descriptors = {{3, sockets->second.get()}, {7, model.get()}};
  const auto found = descriptors_of(options);
  ASSERT_EQ(found.size(), 5u) << testing::PrintToString(found);
  EXPECT_EQ(found.at(0), "/dev/null");
  EXPECT_THAT(found.at(1), HasSubstr("pipe:"));
  EXPECT_EQ(found.at(2), "/dev/null");
  EXPECT_THAT(found.at(3), HasSubstr("socket:"));
  EXPECT_EQ(found.at(7), "/etc/passwd");
}

TEST(Process, StandardOutputIsNotOursUnlessInherited) {
  for (const bool inherit : {true, false}) {
    Pipe pipe = make_pipe();
    SpawnOptions options = shell("link=$(readlink /proc/$$/fd/1); echo \"$link\" >&2");
    options.inherit_output = inherit;
    options.descriptors.emplace_back(STDERR_FILENO, pipe.writing.get());
    auto child = Child::spawn(options);
    ASSERT_TRUE(child) << child.error().message;
    pipe.writing.reset();
    std::array<char, 4096> ours{};
    ASSERT_GT(::readlink("/proc/self/fd/1", ours.data(), ours.size() - 1), 0);
    const std::string expected = inherit ? ours.data() : "/dev/null";
    EXPECT_EQ(read_all(pipe.reading.get()), expected + '\n');
  }
}

// Sources whose own numbers are the targets of others: an order of dup2 calls alone cannot do it.
TEST(Process, DescriptorsMayChangePlaces) {
  const Fd first(::fcntl(Fd(::open("/etc/passwd", O_RDONLY)).get(), F_DUPFD_CLOEXEC, 50));
  const Fd second(::fcntl(Fd(::open("/etc/group", O_RDONLY)).get(), F_DUPFD_CLOEXEC, 51));
  SpawnOptions options = shell("");
  options.descriptors = {
      {first.get(), second.get()}, {second.get(), first.get()}, {60, first.get()}};
  const auto found = descriptors_of(options);
  EXPECT_EQ(found.at(first.get()), "/etc/group");
  EXPECT_EQ(found.at(second.get()), "/etc/passwd");
  EXPECT_EQ(found.at(60), "/etc/passwd");
  EXPECT_EQ(found.size(), 6u);
}

// Many targets, last first, over the lowest numbers: whichever numbers the copies take on the way,
// they must not be among the targets.
TEST(Process, ManyDescriptorsLastFirst) {
  constexpr int kFirst = 3, kLast = 20;
  SpawnOptions options = shell("");
  std::vector<Fd> sources;
  for (int number = kLast; number >= kFirst; --number) {
    const Fd low(::memfd_create(std::to_string(number).c_str(), MFD_CLOEXEC));
    sources.emplace_back(::fcntl(low.get(), F_DUPFD_CLOEXEC, 100));  // the low numbers stay free
    options.descriptors.emplace_back(number, sources.back().get());
  }
  const auto found = descriptors_of(options);
  for (int number = kFirst; number <= kLast; ++number) {
    ASSERT_EQ(found.count(number), 1u) << number;
    EXPECT_THAT(found.at(number), HasSubstr("memfd:" + std::to_string(number) + ' '));
  }
}

TEST(Process, AListedDescriptorThatIsClosedIsAnError) {
  SpawnOptions options = shell("true");
  constexpr int kClosed = 900;
  ASSERT_EQ(::fcntl(kClosed, F_GETFD), -1);
  options.descriptors = {{3, kClosed}};
  EXPECT_EQ(Child::spawn(options).error().code, Code::kIo);
  options.descriptors = {{3, -1}};
  EXPECT_FALSE(Child::spawn(options));
}

TEST(Process, SignalsAreBackToNormalInTheChild) {
  struct sigaction ignore{}, before{};
  ignore.sa_handler = SIG_IGN;
  ASSERT_EQ(::sigaction(SIGPIPE, &ignore, &before), 0);
  sigset_t blocked, mask;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  ASSERT_EQ(::pthread_sigmask(SIG_BLOCK, &blocked, &mask), 0);
  const std::string status = output_of(shell("exec grep -E '^Sig(Blk|Ign)' /proc/self/status"));
  ::pthread_sigmask(SIG_SETMASK, &mask, nullptr);
  ::sigaction(SIGPIPE, &before, nullptr);
  EXPECT_EQ(status, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

TEST(Process, AGroupOfItsOwnKeepsTheTerminalsSignalsAway) {
  auto child = Child::spawn(shell("exec sleep 1000"));
  ASSERT_TRUE(child);
  EXPECT_EQ(::getpgid(child->pid()), child->pid());
  SpawnOptions options = shell("exec sleep 1000");
  options.own_process_group = false;
  auto joined = Child::spawn(options);
  ASSERT_TRUE(joined);
  EXPECT_EQ(::getpgid(joined->pid()), ::getpgrp());
}

TEST(Process, ManyThreadsMaySpawnAtOnce) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 5; ++i) {
        EXPECT_EQ(output_of(shell("echo " + std::to_string(t * 10 + i))),
                  std::to_string(t * 10 + i) + "\n");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// A parent process (a fork of this one) that starts a sleeper from a thread which then ends, tells
// its number and waits to be killed. PR_SET_PDEATHSIG by itself would kill the sleeper with the
// thread.
[[noreturn]] void be_parent(int report, bool die_with_parent) {
  std::optional<Child> child;
  std::thread starter([&] {
    SpawnOptions options = shell("exec sleep 1000");
    options.die_with_parent = die_with_parent;
    auto spawned = Child::spawn(options);
    if (spawned) child.emplace(std::move(*spawned));
  });
  starter.join();
  // The thread is joined once its stack is free, a moment before the kernel sends the signal.
  if (child && child->wait_for(milliseconds(200))) child.reset();
  const int pid = child ? child->pid() : -1;
  if (::write(report, &pid, sizeof pid) != sizeof pid) ::_exit(1);
  for (;;) ::pause();
}

// The parent and the sleeper that it started; both are killed at the end, whatever was found.
struct Family {
  explicit Family(bool die_with_parent) {
    Pipe pipe = make_pipe();
    parent = ::fork();
    if (parent == 0) be_parent(pipe.writing.get(), die_with_parent);
    EXPECT_EQ(::read(pipe.reading.get(), &sleeper, sizeof sleeper),
              static_cast<ssize_t>(sizeof sleeper));
    if (sleeper > 0) pidfd = Fd(static_cast<int>(::syscall(SYS_pidfd_open, sleeper, 0)));
  }
  ~Family() {
    kill_parent();
    if (pidfd.valid()) ::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
  }
  Family(const Family&) = delete;
  Family& operator=(const Family&) = delete;

  void kill_parent() {
    if (parent <= 0) return;
    ::kill(parent, SIGKILL);
    ::waitpid(parent, nullptr, 0);
    parent = -1;
  }
  bool sleeper_ends_within(int timeout_ms) const {
    pollfd event{pidfd.get(), POLLIN, 0};
    return ::poll(&event, 1, timeout_ms) == 1;
  }
  pid_t parent = -1;
  int sleeper = -1;
  Fd pidfd;
};

TEST(Process, AChildOutlivesTheThreadThatStartedItAndDiesWithTheProcess) {
  Family family(true);
  ASSERT_TRUE(family.pidfd.valid()) << "it died with the thread that started it";
  EXPECT_FALSE(family.sleeper_ends_within(0));
  family.kill_parent();
  EXPECT_TRUE(family.sleeper_ends_within(20'000)) << "it outlived its parent";
}

TEST(Process, OrNotIfItIsMeantToStay) {
  Family family(false);
  ASSERT_TRUE(family.pidfd.valid());
  family.kill_parent();
  EXPECT_FALSE(family.sleeper_ends_within(100));
}

TEST(Process, SocketPairIsConnectedAndCloseOnExec) {
  auto pair = socket_pair();
  ASSERT_TRUE(pair);
  EXPECT_EQ(::send(pair->first.get(), "hi", 2, 0), 2);
  char buffer[4];
  EXPECT_EQ(::recv(pair->second.get(), buffer, sizeof buffer, 0), 2);
  EXPECT_NE(::fcntl(pair->first.get(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_NE(::fcntl(pair->second.get(), F_GETFD) & FD_CLOEXEC, 0);
}

}  // namespace
}  // namespace aioss::os
