#include "engines/ik/dry_run.h"

#include <sys/mman.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include "ggml-backend.h"

namespace aioss::engines::ik {
namespace {

thread_local bool is_dry = false;

}  // namespace

DryRun::DryRun(bool dry) {
  is_dry = dry;
}

DryRun::~DryRun() {
  is_dry = false;
}

}  // namespace aioss::engines::ik

// The names are the linker's.
extern "C" {
void __real_ggml_backend_buffer_clear(ggml_backend_buffer_t buffer, std::uint8_t value);
void __wrap_ggml_backend_buffer_clear(ggml_backend_buffer_t buffer, std::uint8_t value);
void* __real_mmap(void* address, std::size_t size, int protection, int flags, int fd, off_t offset);
void* __wrap_mmap(void* address, std::size_t size, int protection, int flags, int fd, off_t offset);
int __real_posix_madvise(void* address, std::size_t size, int advice);
int __wrap_posix_madvise(void* address, std::size_t size, int advice);

void __wrap_ggml_backend_buffer_clear(ggml_backend_buffer_t buffer, std::uint8_t value) {
  if (!aioss::engines::ik::is_dry) __real_ggml_backend_buffer_clear(buffer, value);
}

void* __wrap_mmap(void* address, std::size_t size, int protection, int flags, int fd,
                  off_t offset) {
  if (aioss::engines::ik::is_dry) flags &= ~MAP_POPULATE;
  return __real_mmap(address, size, protection, flags, fd, offset);
}

int __wrap_posix_madvise(void* address, std::size_t size, int advice) {
  return aioss::engines::ik::is_dry ? 0 : __real_posix_madvise(address, size, advice);
}
}
