// What a plugin, and one for GPUs, is confined to.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "os/file.h"
#include "os/landlock.h"
#include "os/sandbox.h"
#include "os/sandbox_fixture.h"

namespace aioss::os {
namespace {

TEST(Sandbox, OfAGpuRefusesTheSameButCodeThatIsMade) {
  if (landlock_abi() == 0) GTEST_SKIP() << "this kernel has no Landlock";
  const Fd null(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  expect_clean(confined(
      Stage::kTwo,
      [&](Report& report) {
        ::dup2(null.get(), STDOUT_FILENO);
        for (const ProbeOutcome& outcome : probe_confinement()) {
          const bool makes_code = outcome.attempt.find("executable memory") != std::string::npos;
          if (!outcome.refused && !makes_code) report.note(outcome.attempt + ": " + outcome.detail);
        }
        // What stage one lets a plugin read, and a node that is not there: looked for, at least.
        for (const char* const path : {"/usr/lib", "/proc/self/maps", "/dev/null"}) {
          report.refused(::open(path, O_RDONLY), path);
        }
        report.expect(::open("/dev/nvidia-none", O_RDWR) == -1 && errno == ENOENT, "a GPU's node");
      },
      SandboxFor::kGpu));
}

// A file of ours, where a plugin has nothing to read or write, and is gone afterwards.
class TemporaryFile final {
 public:
  TemporaryFile() : fd_(::mkstemp(path_)) { EXPECT_TRUE(fd_.valid()); }
  ~TemporaryFile() { ::unlink(path_); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const char* path() const { return path_; }
  int fd() const { return fd_.get(); }

 private:
  char path_[32] = "/tmp/aioss-sandbox-XXXXXX";
  Fd fd_;
};

// What a driver must be able to do is not here: there is no hardware for it.
void try_what_only_gpus_may(Report& report, const char* file, int fd) {
  report.refused(::open(file, O_RDWR), "opening a file for writing");
  report.refused(::open("/tmp", O_RDWR | O_TMPFILE, 0600), "a temporary file");
  report.refused(::open("/tmp/aioss-sandbox-test", O_WRONLY | O_CREAT, 0600), "creating a file");
  constexpr int kAnew = O_WRONLY | O_CREAT | O_TRUNC;  // which the filter lets pass, for /proc
  report.refused(::open("/tmp/aioss-sandbox-test", kAnew, 0600), "making a file");
  report.refused(::open(file, kAnew, 0600), "writing a file anew");
  report.refused(::open(file, O_RDONLY | O_TRUNC), "cutting a file off");
  report.refused(::open("/proc/self/oom_score_adj", kAnew, 0600), "what /proc has of the process");
  report.refused_by_filter(::ioctl(fd, 0x5412 /* TIOCSTI */, "x"), "TIOCSTI");
  int flags = 0;
  report.refused_by_filter(::ioctl(fd, 0x40086602 /* FS_IOC_SETFLAGS */, &flags), "file flags");
  report.refused_by_filter(::ioctl(fd, 0x40806685 /* FS_IOC_ENABLE_VERITY */, nullptr), "verity");
  report.refused_by_filter(::ioctl(fd, 0x4B47 /* KDSKBENT */, nullptr), "a console's keyboard");
  for (const unsigned request : {0x30000001U /* UVM */, 0xC020462AU /* nvidia */,
                                 0xC0406400U /* DRM */, 0x80084B01U /* kfd */}) {
    report.expect(::ioctl(fd, request, nullptr) == -1 && errno == ENOTTY, "asking a GPU");
  }
}

// A file that the sandbox takes for a GPU's node by its name.
class Node final {
 public:
  Node() : fd_(::mkostemp(path_, O_CLOEXEC)) {}
  ~Node() {
    if (fd_.valid()) ::unlink(path_);
  }
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  bool is_there() const { return fd_.valid(); }
  const char* path() const { return path_; }

 private:
  char path_[32] = "/dev/nvidia-aioss-XXXXXX";
  Fd fd_;
};

TEST(Sandbox, OfAGpuOpensItsNodesBehindBothStages) {
  if (landlock_abi() == 0) GTEST_SKIP() << "this kernel has no Landlock";
  const Node node;
  if (!node.is_there()) GTEST_SKIP() << "no file can be made in /dev: run it as root";
  for (const Stage stage : {Stage::kOne, Stage::kTwo}) {
    expect_clean(confined(
        stage,
        [&](Report& report) {
          report.expect(::open(node.path(), O_RDWR | O_CLOEXEC) >= 0, "its node");
          report.refused(::open(node.path(), O_RDWR | O_CREAT, 0600), "making it");
          report.refused(::open("/dev/null", O_ACCMODE), "another node, to be asked only");
        },
        SandboxFor::kGpu));
    expect_clean(confined(stage, [&](Report& report) {
      report.refused(::open(node.path(), O_RDWR | O_CLOEXEC), "a node, without a GPU");
    }));
  }
}

// NVIDIA's does so while it begins, and fails if it cannot.
void name_a_thread(Report& report) {
  const std::string name = "/proc/self/task/" + std::to_string(::gettid()) + "/comm";
  std::FILE* const file = ::fopen(name.c_str(), "w");
  report.expect(file != nullptr && ::fputs("cuda-thread", file) >= 0 && ::fclose(file) == 0, name);
  report.expect(::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0, "others may look into it");
  if (::getuid() == 0) return;
  for (const char* const other : {"oom_score_adj", "mem", "clear_refs"}) {
    const std::string path = "/proc/self/task/" + std::to_string(::gettid()) + '/' + other;
    report.refused(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666), path);
  }
}

TEST(Sandbox, OfAGpuNamesItsThreadsAsADriverDoesWhoeverItRunsAs) {
  if (landlock_abi() == 0) GTEST_SKIP() << "this kernel has no Landlock";
  constexpr uid_t kNobody = 65534;
  for (const uid_t user : {::getuid(), ::getuid() == 0 ? kNobody : ::getuid()}) {
    expect_clean(confined(Stage::kOne, name_a_thread, SandboxFor::kGpu, -1, user));
  }
}

TEST(Sandbox, OfAGpuIsHiddenAgainIfAPluginUndidIt) {
  if (landlock_abi() == 0) GTEST_SKIP() << "this kernel has no Landlock";
  expect_clean(confined(
      Stage::kOne,
      [](Report& report) {
        report.expect(::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0, "what a plugin may do");
        report.expect(enter_stage_two(SandboxFor::kGpu).has_value(), "stage two");
        report.expect(::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0, "others may look into it");
      },
      SandboxFor::kGpu));
}

TEST(Sandbox, OfAGpuIsToldThatWhatItMayNotTouchIsNotThere) {
  if (landlock_abi() == 0) GTEST_SKIP() << "this kernel has no Landlock";
  const TemporaryFile file;
  expect_clean(confined(
      Stage::kOne,
      [&](Report& report) {
        report.expect(::unlink("") == -1 && errno == ENOENT, "a file without a name");
        report.expect(::unlink(file.path()) == -1 && errno == ENOENT, "a file that is there");
        report.expect(::unlinkat(AT_FDCWD, file.path(), 0) == -1 && errno == ENOENT,
                      "a file that is there, by its folder");
        const int marker = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::string("/tmp/nvidia-mps/control").copy(address.sun_path, sizeof address.sun_path - 1);
        const auto* const to = reinterpret_cast<const sockaddr*>(&address);
        report.expect(::connect(marker, to, sizeof address) == -1 && errno == ENOENT, "a daemon");
        sockaddr_un own{};
        own.sun_family = AF_UNIX;
        std::string("\0aioss-sandbox-test", 19).copy(own.sun_path, sizeof own.sun_path);
        report.expect(
            ::bind(marker, reinterpret_cast<const sockaddr*>(&own), sizeof(sa_family_t) + 19) == 0,
            "its name");
        report.expect(::listen(marker, 128) == 0, "waiting behind it");
        report.refused(::accept(marker, nullptr, nullptr), "letting somebody in");
      },
      SandboxFor::kGpu));
  EXPECT_EQ(::access(file.path(), F_OK), 0) << "it was removed";
}

TEST(Sandbox, OfAGpuWritesNoFilesAndSendsNothing) {
  if (landlock_abi() == 0) GTEST_SKIP() << "this kernel has no Landlock";
  const TemporaryFile file;
  const std::string at = std::string(file.path()) + ".socket";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  at.copy(address.sun_path, sizeof address.sun_path - 1);
  const auto* const to = reinterpret_cast<const sockaddr*>(&address);
  const Fd listener(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::bind(listener.get(), to, sizeof address), 0);
  expect_clean(confined(
      Stage::kOne,
      [&](Report& report) {
        try_what_only_gpus_may(report, file.path(), file.fd());
        report.refused_by_filter(::socket(AF_UNIX, SOCK_DGRAM, 0), "a datagram socket");
        report.refused_by_filter(::socket(AF_UNIX, SOCK_STREAM, 0), "a stream socket");
        const int marker = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        report.expect(marker >= 0, "the socket of CUDA");
        char text[] = "secret";
        iovec part{text, sizeof text};
        msghdr message{};
        message.msg_name = &address;
        message.msg_namelen = sizeof address;
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        report.expect(::sendmsg(marker, &message, MSG_NOSIGNAL) == -1, "a datagram was sent");
      },
      SandboxFor::kGpu));
  pollfd event{listener.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&event, 1, 0), 0) << "something came";
  ::unlink(at.c_str());
}

// Stage two may be undone by a plugin's constructor.
TEST(Sandbox, WithAPluginReadsLibrariesAndThePluginAndNothingElse) {
  if (landlock_abi() == 0) GTEST_SKIP() << "this kernel has no Landlock";
  const TemporaryFile plugin, other;
  const Fd memory(::memfd_create("plugin", MFD_CLOEXEC));
  for (const SandboxFor device : {SandboxFor::kCpu, SandboxFor::kGpu}) {
    for (const int fd : {plugin.fd(), memory.get()}) {
      const std::string anew = "/proc/self/fd/" + std::to_string(fd);
      const std::string others = "/proc/self/fd/" + std::to_string(other.fd());
      expect_clean(confined(
          Stage::kOne,
          [&](Report& report) {
            report.expect(::open(anew.c_str(), O_RDONLY) >= 0, "the plugin, by its name in /proc");
            report.expect(::open("/proc/self/maps", O_RDONLY) >= 0, "what /proc says of us");
            report.expect(::open("/usr/lib", O_RDONLY | O_DIRECTORY) >= 0, "libraries");
            report.refused(::open(others.c_str(), O_RDONLY), "another open file, by its name");
            report.refused(::open(other.path(), O_RDONLY), "a file in /tmp");
            report.refused(::open("/etc/passwd", O_RDONLY), "/etc/passwd");
            report.refused(::open("/proc/self/root/etc/passwd", O_RDONLY), "a detour");
            report.refused(::open("/", O_RDONLY | O_DIRECTORY), "the names in /");
            report.refused(::open("/proc/1/environ", O_RDONLY), "another process");
          },
          device, fd));
    }
  }
}

}  // namespace
}  // namespace aioss::os
