// What every worker is confined to; a plugin's and a GPU's are in sandbox_plugin_test.cc.
#include "os/sandbox.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstddef>
#include <cstring>
#include <functional>
#include <mutex>
#include <thread>

#include "os/file.h"
#include "os/landlock.h"
#include "os/sandbox_fixture.h"
#include "os/thread.h"

namespace aioss::os {
namespace {

using testing::HasSubstr;

TEST(Sandbox, EveryProbeIsRefusedAfterStageTwo) {
  const Fd null(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  expect_clean(confined(Stage::kTwo, [&](Report& report) {
    ::dup2(null.get(), STDOUT_FILENO);  // as a worker is started
    const auto outcomes = probe_confinement();
    report.expect(outcomes.size() >= 40, "there are fewer attempts than there were");
    for (const ProbeOutcome& outcome : outcomes) {
      if (!outcome.refused) report.note(outcome.attempt + ": " + outcome.detail);
    }
  }));
}

// The probe itself must be able to find something: nothing is refused to a process that is not
// confined, except what needs rights or kernel parts that the machine may not have.
TEST(Sandbox, TheProbeFindsAnOpenDoor) {
  int open_doors = 0;
  const pid_t pid = ::fork();
  if (pid == 0) {
    for (const ProbeOutcome& outcome : probe_confinement()) {
      const bool counts = outcome.attempt == "open /etc/passwd" || outcome.attempt == "fork" ||
                          outcome.attempt == "execve" || outcome.attempt == "connect" ||
                          outcome.attempt == "socket AF_INET" ||
                          outcome.attempt == "sendto with an address at 4 GiB" ||
                          outcome.attempt == "mmap of executable memory" ||
                          outcome.attempt == "sched_setaffinity" ||
                          outcome.attempt == "fcntl F_SETFL" ||
                          outcome.attempt == "create a temporary file";
      if (counts && !outcome.refused) ++open_doors;
    }
    ::_exit(open_doors);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 10);
}

TEST(Sandbox, StageOneReadsFilesAndMapsCodeAndNothingElse) {
  expect_clean(confined(Stage::kOne, [](Report& report) {
    const int fd = ::open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    report.expect(fd >= 0, "open for reading");
    void* const code = ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
    report.expect(code != MAP_FAILED, "map code");
    report.refused_by_filter(::open("/tmp", O_RDWR | O_TMPFILE, 0600), "a temporary file");
    report.refused_by_filter(::open("/tmp/aioss-sandbox-test", O_WRONLY | O_CREAT, 0600),
                             "creating a file");
    report.refused_by_filter(::open("/dev/null", O_WRONLY), "opening for writing");
    report.refused_by_filter(::unlink("/tmp/aioss-sandbox-test"), "unlink");
    report.refused(::socket(AF_INET, SOCK_STREAM, 0), "socket");
    report.refused(::connect(-1, nullptr, 0), "connect");
    report.refused(::fork(), "fork");
    char* const argv[] = {const_cast<char*>("false"), nullptr};
    report.refused(::execv("/bin/false", argv), "execve");
  }));
}

// The file rules do not hang on seccomp alone.
TEST(Sandbox, LandlockByItselfRefusesFiles) {
  if (landlock_abi() == 0) GTEST_SKIP() << "this kernel has no Landlock";
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    int wrong = 0;
    if (!restrict_with_landlock(LandlockScope::kReadOnly)) wrong |= 1;
    if (::open("/etc/passwd", O_RDONLY) < 0) wrong |= 2;
    if (::open("/tmp", O_RDWR | O_TMPFILE, 0600) >= 0 || errno != EACCES) wrong |= 4;
    char* const argv[] = {const_cast<char*>("false"), nullptr};
    if (::execv("/bin/false", argv) == 0 || errno != EACCES) wrong |= 64;
    if (!restrict_with_landlock(LandlockScope::kNothing)) wrong |= 8;
    if (::open("/etc/passwd", O_RDONLY) >= 0 || errno != EACCES) wrong |= 16;
    if (::open("/etc", O_RDONLY | O_DIRECTORY) >= 0 || errno != EACCES) wrong |= 32;
    ::_exit(wrong);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(Sandbox, TheConfinementIsDescribedAndReal) {
  const int abi = landlock_abi();  // cannot be asked for later
  expect_clean(confined(Stage::kOne, [abi](Report& report) {
    FILE* const file = ::fopen("/proc/self/status", "r");
    std::string status(8192, '\0');
    if (file != nullptr) status.resize(::fread(status.data(), 1, status.size(), file));
    for (const char* line : {"\nSeccomp:\t2\n", "\nNoNewPrivs:\t1\n"}) {
      report.expect(status.find(line) != std::string::npos, std::string("missing ") + line);
    }
    const std::size_t at = status.find("\nCapEff:\t");
    const std::string held = at == std::string::npos ? "" : status.substr(at + 9, 16);
    report.expect(held == "0000000000000000" || held == "0000000000004000",
                  "capabilities: " + held);
    report.expect(::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0, "dumpable");
    rlimit core{1, 1};
    report.expect(::getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max == 0, "core limit");
    const auto two = enter_stage_two();
    report.expect(two && two->seccomp && two->no_new_privileges && two->capabilities_dropped &&
                      two->landlock_abi == abi,
                  two ? two->describe() : two.error().message);
  }));
  EXPECT_EQ((Confinement{true, true, true, 7}.describe()),
            "seccomp, no_new_privs, no capabilities, landlock ABI 7");
  EXPECT_EQ((Confinement{false, false, false, 0}.describe()), "no seccomp, no landlock");
}

void check_threads(Report& report) {
  std::atomic<int> done{0};
  std::mutex mutex;
  std::condition_variable ready;
  bool go = false;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      set_thread_name("confined");
      std::unique_lock lock(mutex);
      ready.wait_for(lock, std::chrono::hours(1), [&] { return go; });
      std::vector<int> heap(1'000'000, 1);  // an arena of its own
      done += heap.back();
    });
  }
  {
    std::lock_guard lock(mutex);
    go = true;
  }
  ready.notify_all();
  for (std::thread& thread : threads) thread.join();
  report.expect(done == 4, "threads");
  report.expect(std::thread::hardware_concurrency() > 0, "processor count");
}

void check_memory(Report& report) {
  constexpr std::size_t kBytes = 64 << 20;
  void* const memory =
      ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  report.expect(memory != MAP_FAILED, "mmap");
  std::memset(memory, 1, kBytes);
  report.expect(::madvise(memory, kBytes, MADV_DONTNEED) == 0, "madvise");
  report.expect(::mprotect(memory, kBytes, PROT_READ) == 0, "mprotect");
  report.expect(::mremap(memory, kBytes, kBytes / 2, 0) != MAP_FAILED, "mremap");
  report.expect(::mlock(memory, 4096) == 0 || errno == ENOMEM || errno == EAGAIN, "mlock");
  report.expect(::munmap(memory, kBytes / 2) == 0, "munmap");
}

void check_model_descriptor(Report& report, int model) {
  char bytes[5] = {};
  report.expect(::pread(model, bytes, 4, 0) == 4 && std::string(bytes) == "root", "pread");
  report.expect(::lseek(model, 0, SEEK_END) > 0, "lseek");
  struct stat about{};
  report.expect(::fstat(model, &about) == 0 && about.st_size > 0, "fstat");
  void* const mapped = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, model, 0);
  report.expect(mapped != MAP_FAILED && std::memcmp(mapped, "root", 4) == 0, "map the file");
  report.expect(::posix_fadvise(model, 0, 0, POSIX_FADV_SEQUENTIAL) == 0, "fadvise");
  FILE* const stream = ::fdopen(::fcntl(model, F_DUPFD_CLOEXEC, 0), "rb");
  report.expect(stream != nullptr && ::fseek(stream, 0, SEEK_SET) == 0 &&
                    ::fread(bytes, 1, 4, stream) == 4 && std::string(bytes) == "root",
                "read as a FILE");
  if (stream != nullptr) ::fclose(stream);
}

void check_socket(Report& report, int fd) {
  char buffer[8] = {};
  report.expect(::send(fd, "ping", 4, MSG_NOSIGNAL) == 4, "send");
  report.expect(::write(fd, "ping", 4) == 4, "write");
  char text[] = "ping";
  iovec part{text, 4};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  report.expect(::sendmsg(fd, &message, MSG_NOSIGNAL) == 4, "sendmsg");
  pollfd event{fd, POLLIN, 0};
  report.expect(::poll(&event, 1, 60'000) == 1, "poll");
  report.expect(::recv(fd, buffer, sizeof buffer, 0) == 4, "recv");
  report.expect(::shutdown(fd, SHUT_RDWR) == 0, "shutdown");
}

TEST(Sandbox, WhatDecodingNeedsStillWorks) {
  const Fd model(::open("/etc/passwd", O_RDONLY | O_CLOEXEC));
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  ASSERT_EQ(::write(pair[0], "pong", 4), 4);
  expect_clean(confined(Stage::kTwo, [&](Report& report) {
    check_threads(report);
    check_memory(report);
    check_model_descriptor(report, model.get());
    check_socket(report, pair[1]);
    timespec moment{0, 1000};
    report.expect(::nanosleep(&moment, nullptr) == 0, "nanosleep");
    char random[16];
    report.expect(::getentropy(random, sizeof random) == 0, "getrandom");
    rusage usage{};
    report.expect(::getrusage(RUSAGE_SELF, &usage) == 0 && usage.ru_maxrss > 0, "getrusage");
    report.expect(::raise(SIGCONT) == 0, "raise");
    report.expect(::sched_yield() == 0, "sched_yield");
  }));
  char buffer[16];
  EXPECT_EQ(::recv(pair[0], buffer, sizeof buffer, MSG_WAITALL), 12);
  ::close(pair[0]);
  ::close(pair[1]);
}

TEST(Sandbox, AbortStillAborts) {
  const Ended ended = confined(Stage::kTwo, [](Report&) { std::abort(); });
  EXPECT_TRUE(WIFSIGNALED(ended.status));
  EXPECT_EQ(WTERMSIG(ended.status), SIGABRT);
}

// Sockets that exist already are the ones that matter: none may reach out.
TEST(Sandbox, InheritedSocketsCannotReachOut) {
  const Fd tcp(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const Fd udp(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::listen(listener.get(), 1), 0);  // the kernel chooses a port of any address
  sockaddr_in to{};
  socklen_t length = sizeof to;
  ASSERT_EQ(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&to), &length), 0);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  expect_clean(confined(Stage::kTwo, [&](Report& report) {
    const auto* const address = reinterpret_cast<const sockaddr*>(&to);
    report.refused(::connect(tcp.get(), address, sizeof to), "TCP connect");
    report.refused(::sendto(tcp.get(), "x", 1, MSG_FASTOPEN, address, sizeof to), "TCP fast open");
    report.refused(::connect(udp.get(), address, sizeof to), "UDP connect");
    report.refused(::sendto(udp.get(), "x", 1, 0, address, sizeof to), "UDP sendto");
    mmsghdr many{};
    report.refused(::sendmmsg(udp.get(), &many, 1, 0), "sendmmsg");
    report.refused(::accept(listener.get(), nullptr, nullptr), "accept");
    report.refused(::bind(udp.get(), address, sizeof to), "bind");
    report.refused(::listen(tcp.get(), 1), "listen");
    msghdr message{};
    report.refused(::recvmsg(udp.get(), &message, MSG_DONTWAIT), "recvmsg");
  }));
}

TEST(Sandbox, CodeCannotBeMadeOrMapped) {
  const Fd file(::open("/bin/true", O_RDONLY | O_CLOEXEC));
  expect_clean(confined(Stage::kTwo, [&](Report& report) {
    const auto mapped = [](void* memory) { return memory == MAP_FAILED ? -1L : 0L; };
    report.refused(mapped(::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file.get(), 0)),
                   "mapping a file as code");
    report.refused(mapped(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)),
                   "memory for code");
    void* const data =
        ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    report.refused(::mprotect(data, 4096, PROT_EXEC), "mprotect");
    report.refused(::syscall(SYS_pkey_mprotect, data, 4096, PROT_EXEC, -1), "pkey_mprotect");
    report.refused(::memfd_create("x", 0), "memfd_create");
    report.refused(::syscall(SYS_shmat, 0, nullptr, 0), "shmat");
  }));
}

TEST(Sandbox, LimitsAndPrivilegesCannotBeChanged) {
  expect_clean(confined(Stage::kTwo, [](Report& report) {
    rlimit limit{1, 1};
    report.expect(::getrlimit(RLIMIT_CORE, &limit) == 0, "reading a limit");
    report.refused(::setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");
    report.refused(::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), "PR_SET_DUMPABLE");
    report.refused(::fchmod(STDERR_FILENO, 0777), "fchmod");
    report.refused(::setuid(::getuid()), "setuid");
    report.refused(::fcntl(STDERR_FILENO, F_SETOWN, 1), "F_SETOWN");
    report.refused_by_filter(::fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK), "F_SETFL");
    report.expect(::fcntl(STDERR_FILENO, F_GETFL) >= 0, "F_GETFL");
    report.refused(::ioctl(STDERR_FILENO, 0x5412 /* TIOCSTI */, "x"), "TIOCSTI");
    report.refused(::kill(::getppid(), 0), "signals to the parent");
    cpu_set_t processors;
    CPU_ZERO(&processors);
    CPU_SET(0, &processors);
    report.expect(::sched_getaffinity(0, sizeof processors, &processors) == 0, "own processors");
    for (const pid_t thread : {::getppid(), 0}) {
      report.refused_by_filter(::sched_setaffinity(thread, sizeof processors, &processors),
                               "sched_setaffinity");
    }
    report.refused(::kill(-1, 0), "signals to everybody");
    report.expect(::kill(::getpid(), 0) == 0, "signals to itself");
    report.refused(::syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0), "clone");
    report.refused(::syscall(SYS_clone, CLONE_NEWUSER | CLONE_THREAD, 0, 0, 0, 0), "a namespace");
  }));
}

struct EscapeCall {
  const char* name;
  std::function<long()> call;
};

std::vector<EscapeCall> escape_calls() {
  return {
      {"ptrace", [] { return ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr); }},
      {"process_vm_readv",
       [] { return ::syscall(SYS_process_vm_readv, ::getppid(), nullptr, 0, nullptr, 0, 0); }},
      {"process_vm_writev",
       [] { return ::syscall(SYS_process_vm_writev, ::getppid(), nullptr, 0, nullptr, 0, 0); }},
      {"bpf", [] { return ::syscall(SYS_bpf, 0, nullptr, 0); }},
      {"mount", [] { return ::syscall(SYS_mount, nullptr, nullptr, nullptr, 0, nullptr); }},
      {"kexec_load", [] { return ::syscall(SYS_kexec_load, 0, 0, nullptr, 0); }},
      {"init_module", [] { return ::syscall(SYS_init_module, nullptr, 0, nullptr); }},
      {"keyctl", [] { return ::syscall(SYS_keyctl, 0, 0, 0, 0, 0); }},
      {"userfaultfd", [] { return ::syscall(SYS_userfaultfd, 0); }},
      {"setns", [] { return ::syscall(SYS_setns, -1, 0); }},
      {"unshare", [] { return ::syscall(SYS_unshare, CLONE_NEWUSER | CLONE_NEWNET); }},
      {"pidfd_getfd", [] { return ::syscall(SYS_pidfd_getfd, -1, 0, 0); }},
      {"io_uring_setup", [] { return ::syscall(SYS_io_uring_setup, 1, nullptr); }},
      {"io_uring_enter", [] { return ::syscall(SYS_io_uring_enter, -1, 0, 0, 0, nullptr, 0); }},
      {"open_by_handle_at", [] { return ::syscall(SYS_open_by_handle_at, -1, nullptr, 0); }},
#if defined(__x86_64__)
      {"a call of the x32 ABI", [] { return ::syscall(0x40000000 | SYS_getpid); }},
#endif
  };
}

TEST(Sandbox, EscapeAttemptsAreFatal) {
  for (const Stage stage : {Stage::kOne, Stage::kTwo}) {
    for (const EscapeCall& escape : escape_calls()) {
      const Ended ended = confined(stage, [&](Report& report) {
        escape.call();
        report.note("it returned");
      });
      EXPECT_TRUE(WIFSIGNALED(ended.status) && WTERMSIG(ended.status) == SIGSYS)
          << escape.name << " at stage " << (stage == Stage::kOne ? 1 : 2) << ": status "
          << ended.status << ' ' << ended.text;
    }
  }
}

#if defined(__x86_64__)
long call_of_32_bits() {
  long result = 20;  // getpid
  asm volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
  return result;
}

// The numbers mean other calls there: getpid of 32 bits is 20, which is writev of 64.
TEST(Sandbox, The32BitDoorIsShut) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(call_of_32_bits() > 0 ? 0 : 1);
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    GTEST_SKIP() << "this kernel has no 32-bit calls";
  }
  const Ended ended = confined(Stage::kTwo, [](Report& report) {
    call_of_32_bits();
    report.note("it returned");
  });
  EXPECT_TRUE(WIFSIGNALED(ended.status) && WTERMSIG(ended.status) == SIGSYS);
}
#endif

// From now on this system call fails, as in a container whose own filter forbids it.
bool forbid(std::uint32_t call) {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{std::size(filter), filter};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

// Both stages, each in a process where `call` fails, must refuse and say `why`.
void expect_refusals_without(std::uint32_t call, const std::string& why) {
  for (const bool first : {true, false}) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      if (!forbid(call)) ::_exit(1);
      const auto entered = first ? enter_stage_one() : enter_stage_two();
      if (entered) ::_exit(2);
      ::_exit(entered.error().message.find(why) != std::string::npos ? 0 : 3);
    }
    int status = 0;
    ::waitpid(pid, &status, 0);
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 0) << (first ? "stage one" : "stage two");
  }
}

TEST(Sandbox, CapabilitiesThatCannotBeReadAreAnError) {
  expect_refusals_without(SYS_capget, "cannot read the capabilities");
}

// What a worker must give up: all but CAP_IPC_LOCK.
bool has_capabilities_to_give_up() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct held[2]{};
  EXPECT_EQ(::syscall(SYS_capget, &header, held), 0);
  return (held[0].permitted & ~(1U << CAP_IPC_LOCK)) != 0 || held[1].permitted != 0;
}

TEST(Sandbox, CapabilitiesThatCannotBeGivenUpAreAnError) {
  if (!has_capabilities_to_give_up()) {
    GTEST_SKIP() << "this process has no capability to give up, so capset is never called; run "
                    "this test as root";
  }
  expect_refusals_without(SYS_capset, "cannot give up the capabilities");
}

#if !defined(__SANITIZE_THREAD__)
TEST(Sandbox, AProcessWithThreadsIsRefused) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    std::thread other([] {
      for (;;) ::pause();
    });
    const auto entered = enter_stage_one();
    ::_exit(!entered && entered.error().code == Code::kInternal ? 0 : 1);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
#endif

}  // namespace
}  // namespace aioss::os
