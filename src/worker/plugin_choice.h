// The engine of a worker: one of the binary's, or the plugin that it was started with, opened
// between the two stages of the sandbox, with the text of its models from the linked llama.cpp.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "os/sandbox.h"
#include "worker/device_choice.h"
#include "worker/worker.h"

namespace aioss::worker {

// Opens options.engine_fd, which must call itself `name`. `options` outlives what it gives. Call it
// behind stage one, single-threaded. If the plugin crashes or hangs meanwhile,
// `framed_failure(why)` goes to options.socket_fd and the process ends with
// WorkerExit::kLoadFailed.
Result<EngineChoice> open_plugin_choice(const WorkerOptions& options, const std::string& name,
                                        const std::function<Bytes(const Error&)>& framed_failure);

// That plugin alone, or, if the worker was started with none, those of the binary.
Result<std::vector<EngineChoice>> engines_of(
    const WorkerOptions& options, const std::string& name,
    const std::function<Bytes(const Error&)>& framed_failure);

// kUnsupported: there is none of this name. Borrowed from `engines`.
Result<const EngineChoice*> find_engine(const std::vector<EngineChoice>& engines,
                                        const std::string& name);

// Begins the drivers of these devices of the engine, of "cpu" none (device_choice.h). Between the
// two stages, too, and with the same last words if they crash or hang.
Result<DeviceChoice> begin_devices(const WorkerOptions& options, const EngineChoice& choice,
                                   const std::string& names, const ipc::Layers& layers,
                                   const std::function<Bytes(const Error&)>& framed_failure);

// os::enter_stage_two(), whose failure may be the plugin's doing: a thread of its own.
Result<os::Confinement> confine_for_good(const WorkerOptions& options, const std::string& engine);

}  // namespace aioss::worker
