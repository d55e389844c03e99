// What a worker may still ask of the kernel. Each stage is a seccomp filter made of the tables
// below plus a Landlock ruleset; the stricter answer of all filters counts. The answers:
//  - allowed: what threads, memory and open descriptors need;
//  - killed: calls that only an escape attempt makes (the process dies with SIGSYS);
//  - EPERM: everything else, calls unknown today included, so that library code degrades;
//    ENOSYS or ENOENT where only those let it go on.
// Stage two entered twice, or without stage one, still gives at least stage two.
#include "os/sandbox.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "base/assert.h"
#include "base/strings.h"
#include "os/file.h"
#include "os/landlock.h"
#include "os/thread.h"

namespace aioss::os {
namespace {

// Threads, memory, time, signals of our own, and open descriptors: all that decoding needs. No
// sched_setaffinity: it takes any thread's number, other processes' too, and ggml calls it only for
// NUMA or a mask of processors, neither of which we ask of it (and would warn and go on). A table
// is one text of names: the words of each group stay together, and a name that libseccomp does not
// know is an error.
constexpr std::string_view kMemory =
    "brk munmap mremap madvise mlock mlock2 munlock mlockall munlockall mincore msync membarrier "
    "get_mempolicy";
constexpr std::string_view kThreadsAndTime =
    "futex set_robust_list rseq set_tid_address sched_yield sched_getaffinity sched_getparam "
    "sched_getscheduler sched_get_priority_max sched_get_priority_min getcpu "
    "clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time times restart_syscall "
    "exit exit_group arch_prctl";
constexpr std::string_view kOwnSignals =
    "rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend "
    "sigaltstack pause";
constexpr std::string_view kOpenDescriptors =
    "read readv pread64 preadv preadv2 lseek fstat fadvise64 readahead close close_range dup dup2 "
    "dup3 write writev poll ppoll select pselect6 epoll_create1 epoll_ctl epoll_wait epoll_pwait "
    "eventfd2 pipe2 timerfd_create timerfd_settime timerfd_gettime recvfrom shutdown getsockopt "
    "getsockname getpeername";
constexpr std::string_view kFacts =
    "getpid gettid getppid getuid geteuid getgid getegid getrusage getrandom uname sysinfo";

// What loading a plugin needs besides, and stage two itself: gone after stage two. memfd_create,
// because a plugin inside our own file is written to one; setitimer limits how long it may start.
constexpr std::string_view kBeforeStageTwo =
    "mmap mprotect stat lstat newfstatat statx access faccessat faccessat2 readlink readlinkat "
    "getcwd getdents64 statfs fstatfs memfd_create ftruncate pwrite64 fcntl prctl capget prlimit64 "
    "getrlimit setitimer recvmsg setsockopt seccomp landlock_create_ruleset landlock_add_rule "
    "landlock_restrict_self";

// Nothing of ours and no library we use makes these calls.
constexpr std::string_view kKilled =
    "ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd bpf perf_event_open userfaultfd "
    "io_uring_setup io_uring_enter io_uring_register open_by_handle_at name_to_handle_at mount "
    "umount2 pivot_root chroot move_mount open_tree fsopen fsconfig fsmount fspick mount_setattr "
    "setns unshare kexec_load kexec_file_load init_module finit_module delete_module add_key "
    "keyctl request_key iopl ioperm swapon swapoff reboot acct settimeofday clock_settime adjtimex "
    "clock_adjtime quotactl fanotify_init modify_ldt personality";

// Thin, so that the tables read as tables: collects the first failure.
class Filter final {
 public:
  Filter() : context_(::seccomp_init(SCMP_ACT_ERRNO(EPERM))) {
    if (context_ == nullptr) error_ = ENOMEM;
  }
  ~Filter() {
    if (context_ != nullptr) ::seccomp_release(context_);
  }
  Filter(const Filter&) = delete;
  Filter& operator=(const Filter&) = delete;

  void attribute(scmp_filter_attr name, std::uint32_t value) {
    if (error_ == 0) note(::seccomp_attr_set(context_, name, value));
  }
  void add_all(std::uint32_t action, std::string_view names) {
    for (const std::string_view name : split(names, ' ')) add(action, std::string(name));
  }
  void add(std::uint32_t action, const std::string& name,
           std::initializer_list<scmp_arg_cmp> when = {}) {
    if (error_ != 0) return;
    const int number = ::seccomp_syscall_resolve_name(name.c_str());
    ASSERT(number != __NR_SCMP_ERROR);
    if (number < 0) return;  // this architecture has no such call: there is nothing to decide
    note(::seccomp_rule_add_array(context_, action, number, static_cast<unsigned>(when.size()),
                                  when.begin()));
  }
  Status load() {
    if (error_ == 0) note(::seccomp_load(context_));
    if (error_ != 0) return error_from_errno(error_, "cannot install the seccomp filter");
    return ok();
  }

 private:
  void note(int result) {
    if (result < 0) error_ = -result;
  }
  scmp_filter_ctx context_;
  int error_ = 0;
};

// libseccomp compares all 64 bits, in two steps: a pointer whose low half is zero is not null.
scmp_arg_cmp argument_is(unsigned index, std::uint64_t value) {
  return scmp_arg_cmp{index, SCMP_CMP_EQ, value, 0};
}
scmp_arg_cmp bits_are(unsigned index, std::uint64_t mask, std::uint64_t value) {
  return scmp_arg_cmp{index, SCMP_CMP_MASKED_EQ, mask, value};
}

constexpr std::uint64_t kCloneThread = 0x00010000;  // CLONE_THREAD
constexpr std::uint64_t kCloneNewNamespaces =
    0x7E020080;                                 // CLONE_NEW*: never together with threads
constexpr std::uint64_t kAtEmptyPath = 0x1000;  // AT_EMPTY_PATH

void allow_own_business(Filter& filter) {
  // Threads, not processes. clone3 passes its flags in memory, where a filter cannot see them:
  // ENOSYS makes glibc fall back to clone.
  filter.add(SCMP_ACT_ALLOW, "clone",
             {bits_are(0, kCloneThread | kCloneNewNamespaces, kCloneThread)});
  filter.add(SCMP_ACT_ERRNO(ENOSYS), "clone3");
  const auto self = static_cast<std::uint64_t>(::getpid());
  filter.add(SCMP_ACT_ALLOW, "kill", {argument_is(0, self)});
  filter.add(SCMP_ACT_ALLOW, "tgkill", {argument_is(0, self)});  // abort()
  // A datagram's address, or TCP Fast Open, would be a way out that needs no connect().
  filter.add(SCMP_ACT_ALLOW, "sendto", {argument_is(4, 0), bits_are(3, MSG_FASTOPEN, 0)});
  filter.add(SCMP_ACT_ALLOW, "sendmsg", {bits_are(2, MSG_FASTOPEN, 0)});
}

// Flags of open() that make a file; O_TMPFILE without what it shares with O_DIRECTORY.
constexpr std::uint64_t kMakingFiles = O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY);

// openat2 has its flags in memory; nothing uses it.
void allow_before_stage_two(Filter& filter) {
  filter.add_all(SCMP_ACT_ALLOW, kBeforeStageTwo);
  // Landlock says so too, where the kernel has it.
  constexpr std::uint64_t kChangingFlags = O_ACCMODE | kMakingFiles;
  filter.add(SCMP_ACT_ALLOW, "open", {bits_are(1, kChangingFlags, O_RDONLY)});
  filter.add(SCMP_ACT_ALLOW, "openat", {bits_are(2, kChangingFlags, O_RDONLY)});
}

void allow_after_stage_two(Filter& filter) {
  filter.add(SCMP_ACT_ALLOW, "mmap", {bits_are(2, PROT_EXEC, 0)});
  filter.add(SCMP_ACT_ALLOW, "mprotect", {bits_are(2, PROT_EXEC, 0)});
  // fstat() of glibc 2.33 to 2.38. The path is not seen by the filter: a stat of other files
  // remains possible (whether they exist, how large they are), never their content.
  filter.add(SCMP_ACT_ALLOW, "newfstatat", {argument_is(3, kAtEmptyPath)});
  // No F_SETFL: the flags of an open file are those of everyone who has it, and standard error is
  // the gateway's too.
  for (const int command : {F_GETFD, F_SETFD, F_GETFL, F_DUPFD, F_DUPFD_CLOEXEC}) {
    filter.add(SCMP_ACT_ALLOW, "fcntl", {argument_is(1, static_cast<std::uint64_t>(command))});
  }
  for (const int option : {PR_SET_NAME, PR_GET_NAME, PR_GET_DUMPABLE, PR_GET_NO_NEW_PRIVS,
                           PR_GET_SECCOMP, PR_SET_TIMERSLACK, PR_SET_THP_DISABLE, PR_SET_VMA}) {
    filter.add(SCMP_ACT_ALLOW, "prctl", {argument_is(0, static_cast<std::uint64_t>(option))});
  }
  filter.add(SCMP_ACT_ALLOW, "prlimit64",
             {argument_is(0, 0), argument_is(2, 0)});  // reading its own
  filter.add(SCMP_ACT_ALLOW, "getrlimit");
}

// Only what GPUs are asked by: the kernel looks at 32 bits of the request, whose second byte is the
// kind. Not terminals ('T': TIOCSTI would type at them), nor files ('f': their flags, fs-verity).
void allow_ioctl(Filter& filter) {
  constexpr std::uint64_t kKind = 0xFF00;
  constexpr char kUvm = 0, kNvidia = 'F', kDrm = 'd', kKfd = 'K';
  for (const char kind : {kUvm, kNvidia, kDrm}) {
    filter.add(SCMP_ACT_ALLOW, "ioctl", {bits_are(1, kKind, std::uint64_t(kind) << 8)});
  }
  // Keyboards of consoles have the same kind, but none of their requests says its direction.
  for (const std::uint64_t direction : {std::uint64_t{1} << 30, std::uint64_t{1} << 31}) {
    filter.add(SCMP_ACT_ALLOW, "ioctl",
               {bits_are(1, kKind | direction, std::uint64_t(kKfd) << 8 | direction)});
  }
}

void allow_for_gpus(Filter& filter, bool stage_two) {
  allow_ioctl(filter);
  // Nodes are opened for reading and writing; which ones, says Landlock.
  // Not the access mode 3, which asks Landlock for no right at all.
  for (const std::uint64_t mode : {O_RDONLY, O_RDWR}) {
    filter.add(SCMP_ACT_ALLOW, "open", {bits_are(1, O_ACCMODE | kMakingFiles, mode)});
    filter.add(SCMP_ACT_ALLOW, "openat", {bits_are(2, O_ACCMODE | kMakingFiles, mode)});
  }
  if (stage_two) {
    filter.add(SCMP_ACT_ALLOW, "mmap");
    filter.add(SCMP_ACT_ALLOW, "mprotect");
    return;
  }
  // As fopen() does for writing: the name of a thread, below /proc/self/task. Landlock lets no file
  // be made, and none be written anywhere else.
  constexpr std::uint64_t kAnew = O_WRONLY | O_CREAT | O_TRUNC;
  filter.add(SCMP_ACT_ALLOW, "open", {bits_are(1, O_ACCMODE | kMakingFiles, kAnew)});
  filter.add(SCMP_ACT_ALLOW, "openat", {bits_are(2, O_ACCMODE | kMakingFiles, kAnew)});
  // CUDA marks its process by a socket's name. Nothing can be connected to, and only sockets that
  // would have to be: a datagram's address is in sendmsg's memory, where no filter sees it. Who
  // connects to it from outside is never accepted.
  constexpr std::uint64_t kSocketType = 0xF;  // the rest are flags
  filter.add(SCMP_ACT_ALLOW, "socket",
             {argument_is(0, AF_UNIX), bits_are(1, kSocketType, SOCK_SEQPACKET)});
  filter.add(SCMP_ACT_ALLOW, "bind");
  filter.add(SCMP_ACT_ALLOW, "listen");
  // What CUDA has to be told of these is that there is no such thing, or it does not begin: a
  // daemon that shares GPUs among processes, and a file where its socket is going to be.
  filter.add_all(SCMP_ACT_ERRNO(ENOENT), "connect unlink unlinkat");
}

Status install_filter(bool stage_two, SandboxFor device) {
  Filter filter;
  filter.attribute(SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);  // ia32 and x32 calls
  filter.attribute(SCMP_FLTATR_CTL_NNP, 1);
  // A library's thread may exist already; no thread stays outside.
  filter.attribute(SCMP_FLTATR_CTL_TSYNC, 1);
  filter.attribute(SCMP_FLTATR_CTL_OPTIMIZE, 2);  // a binary tree instead of 150 comparisons
  for (const std::string_view group :
       {kMemory, kThreadsAndTime, kOwnSignals, kOpenDescriptors, kFacts}) {
    filter.add_all(SCMP_ACT_ALLOW, group);
  }
  filter.add_all(SCMP_ACT_KILL_PROCESS, kKilled);
  allow_own_business(filter);
  if (device == SandboxFor::kGpu) allow_for_gpus(filter, stage_two);
  if (stage_two) {
    allow_after_stage_two(filter);
  } else {
    allow_before_stage_two(filter);
  }
  return filter.load();
}

// Landlock holds for the calling thread and its later children only, so a thread that exists
// already would stay outside.
Status require_single_thread() {
  if (thread_count() == 1) return ok();  // or nobody can say: the caller's promise has to do
  return Error{Code::kInternal, "the sandbox must be entered before any thread is started"};
}

// Root's powers over files, devices and other processes; CAP_IPC_LOCK only lets mlock pass its
// limit. A process that cannot give them up is not confined.
Status drop_capabilities() {
  constexpr std::uint32_t kKept = 1U << CAP_IPC_LOCK;
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> held{};
  if (::syscall(SYS_capget, &header, held.data()) != 0) {
    return error_from_errno(errno, "cannot read the capabilities that a worker must give up");
  }
  if ((held[0].permitted & ~kKept) == 0 && held[1].permitted == 0) return ok();
  std::array<__user_cap_data_struct, 2> reduced{};
  reduced[0].permitted = reduced[0].effective = held[0].permitted & kKept;
  if (::syscall(SYS_capset, &header, reduced.data()) != 0) {
    return error_from_errno(errno, "cannot give up the capabilities of a worker");
  }
  return ok();
}

Status forbid_core_files() {
  const rlimit none{0, 0};
  if (::setrlimit(RLIMIT_CORE, &none) != 0) {
    return error_from_errno(errno, "cannot forbid core files");
  }
  return ok();
}

// No other process of this user may open our memory or our descriptors from now on.
Status hide_from_others() {
  if (::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0) return ok();  // hidden, and maybe behind a filter
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
    return error_from_errno(errno, "cannot make the process undumpable");
  }
  return ok();
}

LandlockScope scope_of(SandboxFor device, int plugin_fd) {
  if (device == SandboxFor::kGpu) return LandlockScope::kGpu;
  return plugin_fd >= 0 ? LandlockScope::kPlugin : LandlockScope::kReadOnly;
}

}  // namespace

std::string Confinement::describe() const {
  std::string out = seccomp ? "seccomp" : "no seccomp";
  if (device == SandboxFor::kGpu) out += " with what GPUs need";
  if (no_new_privileges) out += ", no_new_privs";
  if (capabilities_dropped) out += ", no capabilities";
  return out +
         (landlock_abi > 0 ? ", landlock ABI " + std::to_string(landlock_abi) : ", no landlock");
}

Result<Confinement> enter_stage_one(SandboxFor device, int plugin_fd) {
  AIOSS_CHECK(require_single_thread());
  // The filter sees no paths: it cannot tell a GPU's node from a file that is opened for writing.
  if (device == SandboxFor::kGpu && landlock_abi() == 0) {
    return Error{Code::kUnsupported,
                 "GPUs need a kernel with Landlock: without it their workers could write files"};
  }
  Confinement confinement;
  confinement.device = device;
  AIOSS_CHECK(forbid_core_files());
  AIOSS_CHECK(hide_from_others());
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return error_from_errno(errno, "cannot set no_new_privs");
  }
  confinement.no_new_privileges = true;
  AIOSS_CHECK(drop_capabilities());
  confinement.capabilities_dropped = true;
  AIOSS_TRY(confinement.landlock_abi,
            restrict_with_landlock(scope_of(device, plugin_fd), plugin_fd));
  AIOSS_CHECK(install_filter(false, device));
  confinement.seccomp = true;
  return confinement;
}

Result<Confinement> enter_stage_two(SandboxFor device) {
  const bool is_for_gpu = device == SandboxFor::kGpu;
  if (!is_for_gpu) AIOSS_CHECK(require_single_thread());  // a driver has its threads by now
  Confinement confinement;
  confinement.device = device;
  AIOSS_CHECK(hide_from_others());  // a plugin may have undone it
  confinement.no_new_privileges = ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
  AIOSS_CHECK(drop_capabilities());
  confinement.capabilities_dropped = true;
  AIOSS_TRY(confinement.landlock_abi, restrict_with_landlock(is_for_gpu ? LandlockScope::kGpuNodes
                                                                        : LandlockScope::kNothing));
  AIOSS_CHECK(install_filter(true, device));
  confinement.seccomp = true;
  return confinement;
}

}  // namespace aioss::os
