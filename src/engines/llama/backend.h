// llama.cpp as a whole: begun once, and its log and that of its relatives routed.
#pragma once

#include "engines/ggml/log_scope.h"

namespace aioss::engines::llama {

using ggml::LogScope;

// Routes llama.cpp, ggml and llama-common to the scopes and initialises the backends, once for the
// process. Cheap afterwards. Thread-safe.
void ensure_backend();

}  // namespace aioss::engines::llama
