// The attempts of probe_confinement(). Where it can be done, an attempt is one that the filter must
// see but that has no effect if it passes: a path nobody can read, a descriptor that is not open. A
// refusal is EPERM, EACCES or ENOSYS; anything else means that the kernel looked further than it
// should have.
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "os/sandbox.h"

namespace aioss::os {
namespace {

constexpr int kNoDescriptor = -1;

class Probe final {
 public:
  // `result` is what a system call returned: −1 with errno set, or what it made.
  void report(std::string attempt, long result) {
    const int failed = errno;
    const bool refused = result == -1 && (failed == EPERM || failed == EACCES || failed == ENOSYS);
    const char* const detail = result == -1 ? ::strerrordesc_np(failed) : "it succeeded";
    outcomes_.push_back(
        {std::move(attempt), refused, detail != nullptr ? detail : "unknown errno"});
  }
  // The same for calls that make a descriptor, which is closed.
  void report_descriptor(std::string attempt, int fd) {
    report(std::move(attempt), fd);
    if (fd >= 0) ::close(fd);
  }
  // Where no call is refused, because what it would reach is not there.
  void report_absent(std::string attempt, bool absent, std::string detail) {
    outcomes_.push_back({std::move(attempt), absent, std::move(detail)});
  }
  std::vector<ProbeOutcome> take() { return std::move(outcomes_); }

 private:
  std::vector<ProbeOutcome> outcomes_;
};

void try_files(Probe& probe) {
  probe.report_descriptor("open /etc/passwd", ::open("/etc/passwd", O_RDONLY | O_CLOEXEC));
  probe.report_descriptor("open /proc/self/mem for writing",
                          ::open("/proc/self/mem", O_RDWR | O_CLOEXEC));
  probe.report_descriptor("open / as a directory", ::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  probe.report_descriptor("openat2",
                          static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, nullptr, nullptr, 0)));
  probe.report_descriptor("create a temporary file",
                          ::open("/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600));
  // What nobody can read: libc's declarations forbid null. Volatile, lest the compiler looks at it.
  const char* volatile nowhere = reinterpret_cast<const char*>(1);
  probe.report("mkdir", ::mkdir(nowhere, 0700));
  probe.report("unlink", ::unlink(nowhere));
  probe.report("rename", ::rename(nowhere, nowhere));
  probe.report("chdir", ::syscall(SYS_chdir, nullptr));
  probe.report_descriptor("memfd_create", ::memfd_create("probe", MFD_CLOEXEC));
}

// What is open already, and also someone else's.
void try_inherited(Probe& probe) {
  probe.report("fcntl F_SETFL", ::fcntl(kNoDescriptor, F_SETFL, 0));
  constexpr unsigned kNullMajor = 1, kNullMinor = 3;  // of /dev/null, on every Linux
  struct stat output{};
  const bool open = ::fstat(STDOUT_FILENO, &output) == 0;
  const bool null = open && S_ISCHR(output.st_mode) && major(output.st_rdev) == kNullMajor &&
                    minor(output.st_rdev) == kNullMinor;
  probe.report_absent("write to the standard output of who started it", !open || null,
                      null    ? "it is /dev/null"
                      : !open ? "it is not open"
                              : "it is another file");
}

void try_network(Probe& probe) {
  struct Kind {
    const char* attempt;
    int family, type;
  };
  for (const Kind kind : {Kind{"socket AF_INET", AF_INET, SOCK_STREAM},
                          Kind{"socket AF_INET datagram", AF_INET, SOCK_DGRAM},
                          Kind{"socket AF_INET6", AF_INET6, SOCK_STREAM},
                          Kind{"socket AF_UNIX", AF_UNIX, SOCK_STREAM},
                          Kind{"socket AF_NETLINK", AF_NETLINK, SOCK_RAW},
                          Kind{"socket AF_PACKET", AF_PACKET, SOCK_RAW},
                          Kind{"socket AF_VSOCK", AF_VSOCK, SOCK_STREAM},
                          Kind{"socket AF_ALG", AF_ALG, SOCK_SEQPACKET}}) {
    probe.report_descriptor(kind.attempt, ::socket(kind.family, kind.type | SOCK_CLOEXEC, 0));
  }
  int pair[2];
  const int paired = ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
  probe.report("socketpair", paired);
  for (int i = 0; paired == 0 && i < 2; ++i) ::close(pair[i]);

  sockaddr_in address{};
  address.sin_family = AF_INET;
  const auto* const to = reinterpret_cast<const sockaddr*>(&address);
  probe.report("connect", ::connect(kNoDescriptor, to, sizeof address));
  probe.report("bind", ::bind(kNoDescriptor, to, sizeof address));
  probe.report("listen", ::listen(kNoDescriptor, 1));
  probe.report_descriptor("accept", ::accept(kNoDescriptor, nullptr, nullptr));
  probe.report("sendto with an address", ::sendto(kNoDescriptor, "", 0, 0, to, sizeof address));
  // A pointer whose low half is zero: a filter that compares 32 bits takes it for null.
  probe.report("sendto with an address at 4 GiB",
               ::syscall(SYS_sendto, kNoDescriptor, nullptr, 0, 0, 1ULL << 32, sizeof address));
  probe.report("sendto with MSG_FASTOPEN",
               ::sendto(kNoDescriptor, "", 0, MSG_FASTOPEN, nullptr, 0));
  msghdr message{};
  probe.report("sendmsg with MSG_FASTOPEN", ::sendmsg(kNoDescriptor, &message, MSG_FASTOPEN));
  probe.report("sendmmsg", ::syscall(SYS_sendmmsg, kNoDescriptor, nullptr, 0, 0));
  probe.report("recvmsg", ::recvmsg(kNoDescriptor, &message, 0));
}

// A child that was made after all ends at once and is reaped.
void report_child(Probe& probe, const char* attempt, long pid) {
  if (pid == 0) ::_exit(0);
  probe.report(attempt, pid);
  if (pid > 0) ::waitpid(static_cast<pid_t>(pid), nullptr, 0);
}

void try_processes(Probe& probe) {
  probe.report("execve", ::syscall(SYS_execve, nullptr, nullptr, nullptr));
  probe.report("execveat", ::syscall(SYS_execveat, kNoDescriptor, nullptr, nullptr, nullptr, 0));
#if defined(SYS_fork)
  report_child(probe, "fork", ::syscall(SYS_fork));
#else  // newer architectures have clone alone, and libc's fork with it
  report_child(probe, "fork", ::fork());
#endif
  report_child(probe, "clone of a process", ::syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
  probe.report("clone3", ::syscall(SYS_clone3, nullptr, 0));
  probe.report("kill another process", ::kill(1, 0));
  probe.report("kill the process group", ::kill(0, 0));
  probe.report("tgkill another process", ::syscall(SYS_tgkill, 1, 1, 0));
  probe.report_descriptor("pidfd_open", static_cast<int>(::syscall(SYS_pidfd_open, 1, 0)));
  probe.report("setuid", ::syscall(SYS_setuid, ::getuid()));
  // An empty mask, which the kernel would call invalid.
  probe.report("sched_setaffinity", ::syscall(SYS_sched_setaffinity, 0, 0, nullptr));
  probe.report("seccomp", ::syscall(SYS_seccomp, 0xFFFF, 0, nullptr));
}

void try_memory(Probe& probe) {
  constexpr std::size_t kPage = 4096;
  void* const code =
      ::mmap(nullptr, kPage, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  probe.report("mmap of executable memory", code == MAP_FAILED ? -1 : 0);
  if (code != MAP_FAILED) ::munmap(code, kPage);
  void* const data =
      ::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) return;
  probe.report("mprotect to executable memory", ::mprotect(data, kPage, PROT_READ | PROT_EXEC));
  ::munmap(data, kPage);
  probe.report("shmget", ::syscall(SYS_shmget, 0, 0, 0));
  constexpr unsigned kTypeAtTerminal = 0x5412;  // TIOCSTI, which no worker may; drivers may others
  probe.report("ioctl", ::syscall(SYS_ioctl, kNoDescriptor, kTypeAtTerminal, 0));
}

}  // namespace

std::vector<ProbeOutcome> probe_confinement() {
  Probe probe;
  try_files(probe);
  try_inherited(probe);
  try_network(probe);
  try_processes(probe);
  try_memory(probe);
  return probe.take();
}

}  // namespace aioss::os
