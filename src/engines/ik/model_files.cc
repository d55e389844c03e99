#include "engines/ik/model_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "engine/abi.h"
#include "llama.h"

namespace aioss::engines::ik {
namespace {

using engine::fail;

thread_local const ModelFiles* current = nullptr;

std::FILE* stream_of(int fd) {
  const int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (own < 0) return nullptr;
  std::FILE* stream = fdopen(own, "rb");
  if (stream == nullptr) {
    close(own);
    return nullptr;
  }
  // The duplicate shares its offset with the caller's descriptor, which may have been read before.
  if (std::fseek(stream, 0, SEEK_SET) == 0) return stream;
  std::fclose(stream);
  return nullptr;
}

}  // namespace

ModelFiles::ModelFiles(std::span<const int> fds) : fds_(fds) {
  current = this;
}

ModelFiles::~ModelFiles() {
  current = nullptr;
}

aioss_status ModelFiles::check_magic(aioss_error* error) const {
  for (const int fd : fds_) {
    char magic[4] = {};
    const ssize_t n = pread(fd, magic, sizeof magic, 0);
    if (n < 0) return fail(error, AIOSS_E_IO, "cannot read the model file");
    if (n != sizeof magic || std::memcmp(magic, "GGUF", sizeof magic) != 0) {
      return fail(error, AIOSS_E_CORRUPT, "not a GGUF file");
    }
  }
  return AIOSS_OK;
}

std::string ModelFiles::path_of(std::size_t part) const {
  char text[64] = {};
  llama_split_path(text, sizeof text, "model", static_cast<int>(part),
                   static_cast<int>(fds_.size()));
  return text;
}

std::string ModelFiles::path() const {
  return path_of(0);
}

int ModelFiles::descriptor_of(const char* path) const {
  for (std::size_t i = 0; i < fds_.size(); ++i) {
    if (path_of(i) == path) return fds_[i];
  }
  return -1;
}

}  // namespace aioss::engines::ik

// The name is the linker's (--wrap=fopen).
extern "C" std::FILE* __wrap_fopen(const char* path, const char* mode);
extern "C" std::FILE* __wrap_fopen(const char* path, const char* mode) {
  using aioss::engines::ik::current;
  const bool reads = mode[0] == 'r' && std::strchr(mode, '+') == nullptr;
  const int fd = current != nullptr && reads ? current->descriptor_of(path) : -1;
  std::FILE* stream = fd >= 0 ? aioss::engines::ik::stream_of(fd) : nullptr;
  if (stream == nullptr) errno = ENOENT;
  return stream;
}
