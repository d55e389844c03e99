// A worker that is parked: its model stays, its session is closed, and nothing but the calling
// thread is there. What it is asked meanwhile.
#pragma once

#include <optional>
#include <variant>

#include "ipc/channel.h"
#include "ipc/messages.h"
#include "os/shared_memory.h"
#include "worker/worker.h"

namespace aioss::worker {

// Gives what was freed back to the system and says that it is parked. Until Wake comes, which is
// returned, or the end. `prefixes` may be null: they stay in the gateway's memory, unless Forget
// comes. Blocks.
std::variant<ipc::Wake, WorkerExit> stay_parked(ipc::Channel& channel,
                                                const os::SharedMapping* prefixes);

// The same, driven by hand: one frame. Nothing: it stays parked.
std::optional<std::variant<ipc::Wake, WorkerExit>> take_parked_frame(
    ipc::Channel& channel, const os::SharedMapping* prefixes, ByteView frame);

}  // namespace aioss::worker
