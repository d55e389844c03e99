// The bytes of a plugin, as a worker opens them: a sealed copy in memory, hashed while it is made,
// so that what was hashed is what is run. Where the system does not let such memory be executed, it
// is the installed file itself, if nobody else may change that; the log says so. Blocking;
// thread-safe functions.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "os/file.h"

namespace aioss::plugins {

// A CUDA build for several GPUs has some hundred MiB; its copy is in memory while it may be used.
inline constexpr std::uint64_t kPluginBytesMax = std::uint64_t{2} << 30;

struct PluginFile {
  std::shared_ptr<const os::Fd> file;  // reads only, at offset 0
  Digest sha256{};
  std::uint64_t bytes = 0;
  bool sealed = false;  // false: root and we could still change it, and nobody else
};

// kTooLarge, kNotFound, kUsage (no regular file), kForbidden (others can change it, and there is no
// memory for a copy that runs), or what the disk says.
Result<PluginFile> read_plugin(os::FileSystem& fs, const std::string& path);

}  // namespace aioss::plugins
