#include "os/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/assert.h"

namespace aioss::os {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

Error shared_memory_failed(const std::string& what) {
  return {Code::kIo, what + ": " + std::strerror(errno)};
}

}  // namespace

std::uint64_t allocated_bytes(int fd) {
  constexpr std::uint64_t kBlock = 512;  // of st_blocks, whatever the file system's are
  struct stat facts{};
  if (::fstat(fd, &facts) != 0) return 0;
  return static_cast<std::uint64_t>(facts.st_blocks) * kBlock;
}

Result<Fd> create_shared_memory(const std::string& name, std::uint64_t bytes) {
  Fd fd(::memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) return shared_memory_failed("cannot make a memory with a descriptor");
  if (::ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0 ||
      ::fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) {
    return shared_memory_failed("cannot give a memory its size");
  }
  return fd;
}

Result<SharedMapping> SharedMapping::map(int fd) {
  struct stat info = {};
  if (::fstat(fd, &info) != 0) return shared_memory_failed("cannot look at a shared memory");
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || info.st_size <= 0) {
    return Error{Code::kInvalidArgument, "this descriptor is not a memory of fixed size"};
  }
  const auto size = static_cast<std::size_t>(info.st_size);
  void* const at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) return shared_memory_failed("cannot map a shared memory");
  return SharedMapping({static_cast<std::uint8_t*>(at), size});
}

SharedMapping::~SharedMapping() {
  if (!bytes_.empty() && !borrowed_) ::munmap(bytes_.data(), bytes_.size());
}

SharedMapping::SharedMapping(SharedMapping&& other) noexcept
    : bytes_(std::exchange(other.bytes_, {})), borrowed_(other.borrowed_) {}

SharedMapping& SharedMapping::operator=(SharedMapping&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  std::swap(borrowed_, other.borrowed_);
  return *this;
}

SharedMapping SharedMapping::borrow() const {
  SharedMapping same(bytes_);
  same.borrowed_ = true;
  return same;
}

void SharedMapping::discard(std::size_t offset, std::size_t size) {
  ASSERT(offset <= bytes_.size() && size <= bytes_.size() - offset);
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t end = offset + size;
  const std::size_t first_page = std::min((offset + page - 1) / page * page, end);
  const std::size_t after_pages = std::max(end / page * page, first_page);
  const auto zero = [this](std::size_t from, std::size_t to) {
    std::fill(bytes_.data() + from, bytes_.data() + to, std::uint8_t{0});
  };
  zero(offset, first_page);
  zero(after_pages, end);
  const std::size_t whole = after_pages - first_page;
  if (whole == 0) return;
  if (::madvise(bytes_.data() + first_page, whole, MADV_REMOVE) != 0) zero(first_page, after_pages);
}

}  // namespace aioss::os
