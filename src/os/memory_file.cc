#include "os/memory_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace aioss::os {
Error memory_file_error(const std::string& what) {
  const bool full = errno == ENOSPC || errno == ENOMEM;
  return {full ? Code::kNoMemory : Code::kIo, what + ": " + std::strerror(errno)};
}

Result<MemoryFile> MemoryFile::create(const std::string& name) {
  Fd writer(::memfd_create(name.c_str(), MFD_CLOEXEC));
  if (!writer.valid()) return memory_file_error("cannot make a file in memory");
  const std::string path = "/proc/self/fd/" + std::to_string(writer.get());
  Fd reader(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!reader.valid()) return memory_file_error("cannot open a file in memory for reading");
  return MemoryFile(std::move(writer), std::move(reader));
}

Status MemoryFile::resize(std::uint64_t bytes) {
  if (::ftruncate(writer_.get(), static_cast<off_t>(bytes)) == 0) return ok();
  return memory_file_error("cannot give a file in memory its size");
}

Status MemoryFile::write_at(std::uint64_t offset, ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t count =
        ::pwrite(writer_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return memory_file_error("cannot write a file in memory");
    offset += static_cast<std::uint64_t>(count);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
  return ok();
}

}  // namespace aioss::os
