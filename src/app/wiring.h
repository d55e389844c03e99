// What this binary is made of: the engines that its workers can run. Nothing registers itself.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/services.h"
#include "worker/worker.h"

namespace aioss::app {

std::vector<worker::EngineChoice> engines();
// The text of a model that a plugin computes with, from the linked llama.cpp.
Result<std::unique_ptr<engine::TextModel>> open_vocabulary(const std::vector<int>& fds);
// Their names and versions, for `aioss version`. Reads static tables only.
std::vector<cli::EngineVersion> engine_versions();
// Instruction set of the engine build: "native", "x86-64-v3", "x86-64-v4".
std::string cpu_level();

}  // namespace aioss::app
