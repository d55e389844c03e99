#include "os/fixed_content.h"

#include <fcntl.h>
#include <linux/fsverity.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "os/memory_file.h"

namespace aioss::os {
namespace {

constexpr int kSeals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

}  // namespace

std::optional<bool> is_open_for_writing(int descriptor) {
  // Who opens the file for writing while we have the lease waits for us, and we are told by a
  // signal: by one that nobody has to handle, instead of SIGIO, which would end the process.
  if (::fcntl(descriptor, F_SETSIG, SIGURG) != 0) return std::nullopt;
  if (::fcntl(descriptor, F_SETLEASE, F_RDLCK) == 0) {
    (void)::fcntl(descriptor, F_SETLEASE, F_UNLCK);
    return false;
  }
  if (errno == EAGAIN) return true;
  return std::nullopt;
}

std::optional<Fd> verity_descriptor(int descriptor) {
  constexpr std::size_t kDigestMax = 64;
  alignas(fsverity_digest) std::array<std::uint8_t, sizeof(fsverity_digest) + kDigestMax> room{};
  fsverity_digest head{};
  head.digest_size = kDigestMax;
  std::memcpy(room.data(), &head, sizeof head);
  if (::ioctl(descriptor, FS_IOC_MEASURE_VERITY, room.data()) != 0) return std::nullopt;
  Fd own(::fcntl(descriptor, F_DUPFD_CLOEXEC, 0));
  if (!own.valid()) return std::nullopt;
  return own;
}

bool can_be_executed(int descriptor) {
  void* const code = ::mmap(nullptr, 1, PROT_READ | PROT_EXEC, MAP_PRIVATE, descriptor, 0);
  if (code == MAP_FAILED) return false;
  ::munmap(code, 1);
  return true;
}

bool others_may_write(int descriptor) {
  struct stat about{};
  if (::fstat(descriptor, &about) != 0) return true;
  const bool is_ours = about.st_uid == 0 || about.st_uid == ::geteuid();
  return !is_ours || (about.st_mode & (S_IWGRP | S_IWOTH)) != 0;
}

Result<Fd> duplicate_descriptor(int descriptor) {
  Fd own(::fcntl(descriptor, F_DUPFD_CLOEXEC, 0));
  if (!own.valid()) return memory_file_error("cannot duplicate a descriptor");
  return own;
}

Result<SealedCopy> SealedCopy::create(const std::string& name) {
  constexpr unsigned kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  constexpr unsigned kNoExecSeal = 8;  // MFD_NOEXEC_SEAL, which vm.memfd_noexec=2 insists on
  Fd fd(::memfd_create(name.c_str(), kFlags));
  if (!fd.valid() && errno == EACCES) fd = Fd(::memfd_create(name.c_str(), kFlags | kNoExecSeal));
  if (!fd.valid()) {
    const bool never = errno == ENOSYS || errno == EACCES;
    Error error = memory_file_error("cannot make a memory for a sealed copy");
    if (never) error.code = Code::kUnsupported;
    return error;
  }
  return SealedCopy(std::move(fd));
}

Status SealedCopy::append(ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd_.get(), bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return memory_file_error("cannot write a sealed copy");
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
  return ok();
}

// Opened anew: a shared mapping of a descriptor that could write counts as a writer, and is refused
// by kernels before 6.7.
Result<Fd> SealedCopy::seal() {
  if (::fcntl(fd_.get(), F_ADD_SEALS, kSeals) != 0) return memory_file_error("cannot seal a copy");
  const std::string path = "/proc/self/fd/" + std::to_string(fd_.get());
  Fd reader(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!reader.valid()) return memory_file_error("cannot open a sealed copy for reading");
  fd_.reset();
  return reader;
}

}  // namespace aioss::os
