// ik_llama.cpp as a whole: begun once, and its log routed. What it prints past its own log, to
// standard output, is dropped at link time (quiet.cc).
#pragma once

#include "engines/ggml/log_scope.h"

namespace aioss::engines::ik {

using ggml::LogScope;

// Routes messages to the scopes and initialises the backend, once for the process. Thread-safe.
void ensure_backend();

}  // namespace aioss::engines::ik
