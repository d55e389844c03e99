#include "engines/llama/descriptor_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>

#include "engine/abi.h"

namespace aioss::engines::llama {
namespace {

using engine::fail;

constexpr std::string_view kDescriptorPaths = "/proc/self/fd/";

// -1: the path names no descriptor.
int descriptor_of(std::string_view path) {
  if (!path.starts_with(kDescriptorPaths)) return -1;
  path.remove_prefix(kDescriptorPaths.size());
  int fd = -1;
  const auto [end, failure] = std::from_chars(path.data(), path.data() + path.size(), fd);
  return failure == std::errc() && end == path.data() + path.size() ? fd : -1;
}

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

aioss_status open_stream(int fd, FilePointer& out, aioss_error* error) {
  out.reset(stream_of(fd));
  if (out) return AIOSS_OK;
  return fail(error, AIOSS_E_IO,
              "cannot open a stream on the model's descriptor; the model must be a seekable file");
}

aioss_status check_magic(int fd, aioss_error* error) {
  char magic[4] = {};
  const ssize_t n = pread(fd, magic, sizeof magic, 0);
  if (n < 0) return fail(error, AIOSS_E_IO, "cannot read the model file");
  if (n == sizeof magic && std::memcmp(magic, "GGUF", sizeof magic) == 0) return AIOSS_OK;
  return fail(error, AIOSS_E_CORRUPT, "not a GGUF file");
}

std::string descriptor_path(int fd) {
  return std::string(kDescriptorPaths) + std::to_string(fd);
}

}  // namespace aioss::engines::llama

#ifndef AIOSS_ENGINE_NO_WRAP  // a linker without --wrap
// The names are the linker's (--wrap=ggml_fopen).
extern "C" std::FILE* __real_ggml_fopen(const char* path, const char* mode);
extern "C" std::FILE* __wrap_ggml_fopen(const char* path, const char* mode) {
  const int fd = aioss::engines::llama::descriptor_of(path);
  const bool reads = mode[0] == 'r' && std::strchr(mode, '+') == nullptr;
  if (fd < 0 || !reads) return __real_ggml_fopen(path, mode);
  return aioss::engines::llama::stream_of(fd);
}
#endif
