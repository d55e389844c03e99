// What the commands are given by main(): the outside world behind interfaces. Owned by main(),
// outlives every command.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"
#include "cli/config.h"
#include "cli/console.h"
#include "crypto/random.h"
#include "os/cpu.h"
#include "os/file.h"

namespace aioss::cli {

struct EngineVersion {
  std::string name, version, build_id, compiler, cpu_features;
};

// A plugin that the binary carries inside itself.
struct EmbeddedEngine {
  std::string name, version;
  std::string cpu_level;  // that it needs; "": of any
  ByteView bytes;         // static
};

struct Services {
  os::FileSystem& files;
  const Clock& clock;
  crypto::Random& random;
  Console& console;
  Environment environment{};
  std::function<std::vector<EngineVersion>()> engines{};
  std::function<std::vector<EmbeddedEngine>()> embedded{};
  std::string cpu_level{};                                  // what the engines were built for
  std::function<Result<os::CpuInfo>()> cpu = os::cpu_info;  // what there is
  // One line from whoever sits at the terminal, not shown as it is typed; null or kNotFound:
  // nobody does.
  std::function<Result<Bytes>(std::string_view question)> ask_hidden{};
};

}  // namespace aioss::cli
