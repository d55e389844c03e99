// What children have in common that look into one model and answer over a socket: how they are
// started, and how much of what they say of an error is believed. Free functions; thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "os/file.h"
#include "os/process.h"
#include "plugins/engine_table.h"
#include "runtime/catalogue/catalogue.h"

namespace aioss::runtime {

inline constexpr int kSocketInChild = 3;  // the first that is free

// With offsets of their own: whoever else reads the model through these descriptors is not moved.
Result<std::vector<std::unique_ptr<os::File>>> open_again(const OpenModel& files);

// `aioss worker MODE`, with its end of the socket, the files of the model, and its engine's file if
// that is a plugin. Borrows all these until the child is spawned.
os::SpawnOptions model_child(const std::string& executable, std::string_view mode, int socket,
                             const std::vector<std::unique_ptr<os::File>>& models,
                             const plugins::EngineImage* engine);

// The child decides between few codes, and nothing else: any other is `implausible`; its message is
// one line of bounded length, or `silent` if it has none.
Error error_of_child(const Error& error, Code implausible, std::string_view silent);

}  // namespace aioss::runtime
