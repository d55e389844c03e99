// Where llama.cpp clears the buffers of a context (keys and values above all) it writes zeros into
// every page of them, most of which no answer ever touches: a tenth of a second for 256 MiB, at
// each start and each wake of a model. On the host these bytes are zeroed lazily instead
// (os/own_pages.h), by a function that takes the place of ggml_backend_buffer_clear at link time
// (CMakeLists.txt). What is computed is the same. Thread-safe.
#pragma once

#include "ggml-backend.h"

namespace aioss::engines::llama {

// Whether the memory is the process's own: plain memory of the host, which ggml allocated itself.
bool is_own_memory(ggml_backend_buffer_t buffer);

}  // namespace aioss::engines::llama
