#include "os/landlock.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <vector>

#include "os/file.h"

namespace aioss::os {
namespace {

// From the kernel's include/uapi/linux/landlock.h, for headers that are older than the kernel.
constexpr std::uint64_t kFsTruncate = 1ULL << 14;  // ABI 3
constexpr std::uint64_t kFsIoctlDev = 1ULL << 15;  // ABI 5
constexpr std::uint64_t kNetBindTcp = 1ULL << 0;   // ABI 4
constexpr std::uint64_t kNetConnectTcp = 1ULL << 1;
constexpr std::uint64_t kScopeAbstractUnixSocket = 1ULL << 0;  // ABI 6
constexpr std::uint64_t kScopeSignal = 1ULL << 1;

struct RulesetAttributes {  // struct landlock_ruleset_attr of ABI 6
  std::uint64_t handled_access_fs = 0;
  std::uint64_t handled_access_net = 0;
  std::uint64_t scoped = 0;
};

constexpr std::uint64_t kReading = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
constexpr std::uint64_t kChangingRights =
    LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
    LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR |
    LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
    LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM;

// What is handled and has no rule is refused everywhere, so most of these need no rules. REFER
// (ABI 2) is refused by every ruleset, handled or not.
RulesetAttributes attributes_for(LandlockScope scope, int abi) {
  RulesetAttributes attributes;
  attributes.handled_access_fs = kChangingRights;
  if (scope != LandlockScope::kReadOnly) attributes.handled_access_fs |= kReading;
  if (abi >= 3) attributes.handled_access_fs |= kFsTruncate;
  if (abi >= 4) attributes.handled_access_net = kNetBindTcp | kNetConnectTcp;
  if (abi >= 5) attributes.handled_access_fs |= kFsIoctlDev;
  if (abi >= 6) attributes.scoped = kScopeAbstractUnixSocket | kScopeSignal;
  return attributes;
}

// Older kernels refuse a structure that is longer than theirs only if the rest is not zero; they
// need not be given it at all.
std::size_t size_for(int abi) {
  if (abi >= 6) return sizeof(RulesetAttributes);
  return abi >= 4 ? 2 * sizeof(std::uint64_t) : sizeof(std::uint64_t);
}

struct [[gnu::packed]] PathBeneath {  // struct landlock_path_beneath_attr
  std::uint64_t allowed_access = 0;
  std::int32_t parent_fd = -1;
};
constexpr int kRulePathBeneath = 1;

// Where the loader finds libraries, and what libraries ask of the processor and of their process.
constexpr const char* kPluginReads[] = {"/usr",       "/lib",         "/lib64", "/etc/ld.so.cache",
                                        "/proc/self", "/proc/cpuinfo"};
// What drivers of GPUs look at besides: facts of the machine, none of them a person's.
constexpr const char* kGpuReads[] = {"/etc/vulkan",      "/sys",
                                     "/dev/dri",         "/opt/cuda",
                                     "/opt/rocm",        "/proc/driver/nvidia",
                                     "/proc/devices",    "/proc/modules",
                                     "/proc/meminfo",    "/proc/version",
                                     "/dev/nvidia-caps", "/proc/sys/vm/mmap_min_addr"};

// What drivers of GPUs open for writing.
std::vector<std::string> find_gpu_nodes() {
  std::vector<std::string> out{"/dev/kfd"};
  RealFileSystem fs;
  for (const std::string directory : {"/dev", "/dev/dri", "/dev/nvidia-caps"}) {
    const auto names = fs.list(directory);
    if (!names) continue;
    for (const std::string& name : *names) {
      if (name.starts_with("nvidia") || name.starts_with("renderD") || name.starts_with("card")) {
        out.push_back(directory + "/" + name);
      }
    }
  }
  return out;
}

// As they were when the first ruleset was made: behind it the names in /dev cannot be read any
// more.
const std::vector<std::string>& gpu_nodes() {
  static const std::vector<std::string> nodes = find_gpu_nodes();
  return nodes;
}

// To a file no rights of directories can be given.
std::uint64_t fitting(int fd, std::uint64_t access) {
  struct stat about{};
  const bool is_directory = ::fstat(fd, &about) == 0 && S_ISDIR(about.st_mode);
  return is_directory ? access : access & ~std::uint64_t{LANDLOCK_ACCESS_FS_READ_DIR};
}

Status allow(int ruleset, int fd, std::uint64_t access, const std::string& what) {
  PathBeneath rule;
  rule.allowed_access = fitting(fd, access);
  rule.parent_fd = fd;
  if (::syscall(SYS_landlock_add_rule, ruleset, kRulePathBeneath, &rule, 0) == 0) return ok();
  if (errno == EBADFD) return ok();  // a memory file, which has no path: no rule concerns it
  return error_from_errno(errno, "cannot let the sandbox reach " + what);
}

Status allow_path(int ruleset, const std::string& path, std::uint64_t access) {
  const Fd place(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!place.valid()) return ok();  // there is none
  return allow(ruleset, place.get(), access, path);
}

Status allow_gpu_nodes(int ruleset, int abi) {
  const std::uint64_t asking = LANDLOCK_ACCESS_FS_WRITE_FILE | (abi >= 5 ? kFsIoctlDev : 0);
  for (const std::string& path : gpu_nodes()) {
    AIOSS_CHECK(allow_path(ruleset, path, kReading | asking));
  }
  return ok();
}

Status allow_gpus(int ruleset, int abi) {
  for (const char* const path : kGpuReads) AIOSS_CHECK(allow_path(ruleset, path, kReading));
  // Drivers name their threads there, and CUDA does not begin if it cannot: as one writes a file
  // anew, which truncates it. The process is not dumpable: its memory and limits there are root's.
  const std::uint64_t naming = LANDLOCK_ACCESS_FS_WRITE_FILE | (abi >= 3 ? kFsTruncate : 0);
  AIOSS_CHECK(allow_path(ruleset, "/proc/self/task", kReading | naming));
  return allow_gpu_nodes(ruleset, abi);
}

Status allow_for(LandlockScope scope, int ruleset, int abi, int plugin_fd) {
  if (scope == LandlockScope::kReadOnly || scope == LandlockScope::kNothing) return ok();
  if (scope == LandlockScope::kGpuNodes) return allow_gpu_nodes(ruleset, abi);
  for (const char* const path : kPluginReads) AIOSS_CHECK(allow_path(ruleset, path, kReading));
  if (plugin_fd >= 0) {
    AIOSS_CHECK(allow(ruleset, plugin_fd, LANDLOCK_ACCESS_FS_READ_FILE, "the plugin"));
  }
  return scope == LandlockScope::kGpu ? allow_gpus(ruleset, abi) : ok();
}

}  // namespace

int landlock_abi() {
  const long abi =
      ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  return abi > 0 ? static_cast<int>(abi) : 0;
}

Result<int> restrict_with_landlock(LandlockScope scope, int plugin_fd) {
  const int abi = landlock_abi();
  if (abi == 0) return 0;
  const RulesetAttributes attributes = attributes_for(scope, abi);
  const Fd ruleset(
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, size_for(abi), 0)));
  if (!ruleset.valid()) return error_from_errno(errno, "cannot make a Landlock ruleset");
  AIOSS_CHECK(allow_for(scope, ruleset.get(), abi, plugin_fd));
  if (::syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0) {
    return error_from_errno(errno, "cannot enter the Landlock ruleset");
  }
  return abi;
}

}  // namespace aioss::os
