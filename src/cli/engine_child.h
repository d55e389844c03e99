// An engine, opened by a confined child (`aioss worker --inspect-engine`, `--check-engine`). What
// the child prints is untrusted: foreign code ran in it. It is bounded in time and size, and killed
// if it outlasts them. Blocking.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace aioss::cli {

// Descriptors in the child; the model's files follow.
inline constexpr int kEngineOutputFd = 1, kEngineFd = 3, kEngineModelFd = 4;

// A plugin's bytes, or else the engine of this name that is linked into the binary.
struct EngineSource {
  int plugin = -1;
  std::string linked = {};
};

struct EngineDevice {
  std::string name, backend, description;
  std::uint64_t bytes_total = 0, bytes_free = 0;
};
struct EngineReport {
  std::string name, version, build_id, compiler, cpu_features;
  std::uint32_t abi = 0, prefill_grid_tokens = 0, threads = 1;
  std::vector<std::string> profiles;
  std::vector<EngineDevice> devices;
  bool adapters = false;
};

// What it says of itself. kUnsupported: it is refused, also because it starts threads as it
// is opened and is not for GPUs; kEngineFailed: it crashed or hung.
Result<EngineReport> inspect_engine(const EngineSource& engine, const Clock& clock);

struct EngineCheckLine {
  std::string profile, name, verdict, detail;
};
struct CheckedEngine {
  std::vector<EngineCheckLine> lines;
  bool passed = false;
  std::string engine;                  // as it calls itself
  std::optional<Error> ended_by = {};  // before its end: it crashed, hangs, or speaks nonsense
};
struct CheckRequest {
  EngineSource engine;
  std::vector<int> models;
  bool quick = false;
  std::string device = "cpu";
  std::chrono::seconds silence_max{300};  // between two checks
};
// Puts it through the conformance suite; `on_line` is told of each check. An engine that
// crashes on the way has not passed, and `ended_by` names the last check that it came to; what was
// found before is kept. An error is of one that did not come to the first.
Result<CheckedEngine> check_engine(const CheckRequest& request, const Clock& clock,
                                   const std::function<void(const EngineCheckLine&)>& on_line);

}  // namespace aioss::cli
