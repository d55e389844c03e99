#include "engines/llama/buffers.h"

#include <cstddef>
#include <cstdint>

#include "os/own_pages.h"

namespace aioss::engines::llama {

// Neither a device's nor a mapped file's: those are of other types.
bool is_own_memory(ggml_backend_buffer_t buffer) {
  return ggml_backend_buffer_get_type(buffer) == ggml_backend_cpu_buffer_type();
}

}  // namespace aioss::engines::llama

#ifndef AIOSS_ENGINE_NO_WRAP  // a linker without --wrap
// The names are the linker's (--wrap=ggml_backend_buffer_clear).
extern "C" void __real_ggml_backend_buffer_clear(ggml_backend_buffer_t buffer, std::uint8_t value);
extern "C" void __wrap_ggml_backend_buffer_clear(ggml_backend_buffer_t buffer, std::uint8_t value) {
  const std::size_t size = ggml_backend_buffer_get_size(buffer);  // 0: of a dry run
  if (value != 0 || size == 0 || !aioss::engines::llama::is_own_memory(buffer)) {
    return __real_ggml_backend_buffer_clear(buffer, value);
  }
  aioss::os::zero_lazily({static_cast<std::uint8_t*>(ggml_backend_buffer_get_base(buffer)), size});
}
#endif
