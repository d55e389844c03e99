// Which engine a model's worker is started with, of those that the gateway has. Pure functions.
#pragma once

#include <memory>
#include <string_view>

#include "base/result.h"
#include "ipc/messages.h"
#include "plugins/engine_table.h"

namespace aioss::runtime {

// Plays scripts, and models in GGUF for tests; servers have it with --fake-models alone.
inline constexpr std::string_view kFakeEngine = "fake";

using EngineImagePointer = std::shared_ptr<const plugins::EngineImage>;

// Null without a table: workers have the engines that are linked. kUnsupported, with the names of
// those that there are, if it has none of this name.
Result<EngineImagePointer> engine_of(const std::shared_ptr<plugins::EngineTable>& engines,
                                     std::string_view name);
// The hash of its file; zeros if it is linked, or null.
Digest file_digest(const EngineImagePointer& engine);
// A hash of something that the engine belongs to, and of its file if it is a plugin.
Digest with_engine(const Digest& digest, const EngineImagePointer& engine);
// Whether what the worker says of its engine fits the one that it was given.
Status check_engine(const EngineImagePointer& engine, const ipc::EngineFacts& facts);

}  // namespace aioss::runtime
