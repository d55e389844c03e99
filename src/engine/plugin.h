// Opening an engine that is a shared object of its own. Whoever calls this runs foreign code in its
// process: a worker, or a child that inspects, after the first stage of the sandbox and before the
// second (dlopen opens files and maps code), never the gateway. A plugin is never closed again.
#pragma once

#include <string_view>

#include "aioss/engine.h"
#include "base/result.h"
#include "engine/engine.h"

namespace aioss::engine {

inline constexpr std::size_t kEngineNameBytesMax = 64;
inline constexpr std::size_t kIdentityBytesMax = 256;  // each of its other strings

// As settings, manifests and orders give it: [a-z0-9][a-z0-9._-]*, bounded.
bool is_engine_name(std::string_view name);

// What a plugin says of itself, as far as a stranger may be believed: bounded, UTF-8, one line
// each, the name as is_engine_name() wants it. kUnsupported says which of these it is not.
Result<Identity> checked_identity(const aioss_engine& engine);

// The table of the plugin behind the descriptor, for the life of the process. Its ABI, the presence
// of its functions and its identity were checked; whether it does what it says, was not.
// kUnsupported, with one line that says why not.
Result<const aioss_engine*> open_plugin(int fd);

}  // namespace aioss::engine
