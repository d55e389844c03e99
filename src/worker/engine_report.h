// What an engine is, and whether it keeps what the ABI promises, found out in a confined process of
// its own: `aioss worker --inspect-engine` and `--check-engine`. Both write JSON, one object a
// line, which its reader must take for a stranger's. Called by app/main; nothing else of the binary
// runs in that process. Each returns an ExitCode.
#pragma once

#include <string>
#include <vector>

#include "aioss/engine.h"

namespace aioss::worker {

// A plugin's descriptor, or else one that is linked in.
struct EngineSource {
  int plugin_fd = -1;
  const aioss_engine* linked = nullptr;
};

// One object: name, version, build_id, compiler, cpu_features, abi, profiles, prefill_grid_tokens,
// adapters, threads (of its process, ours included), devices; or {"error":{"code","message"}}.
int run_inspect_engine(const EngineSource& source, int out_fd);

struct EngineCheck {
  EngineSource engine;
  int out_fd = -1;
  std::vector<int> model_fds;
  bool quick = false;          // short prompts only
  std::string device = "cpu";  // as --device names them; others than "cpu" try the profile fast
};
// An object for each check as it is made: profile, name, verdict, detail; then {"passed","engine"},
// the latter as it calls itself.
int run_check_engine(const EngineCheck& check);

}  // namespace aioss::worker
