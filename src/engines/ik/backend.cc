#include "engines/ik/backend.h"

#include <mutex>
#include <optional>

#include "llama.h"

namespace aioss::engines::ik {
namespace {

void on_message(ggml_log_level level, const char* text, void* /*user*/) {
  LogScope* const scope = LogScope::current();
  if (scope == nullptr || text == nullptr) return;
  // A message that goes on has no level of its own in this tree.
  std::optional<bool> is_error;
  if (!scope->is_amid_line()) is_error = level == GGML_LOG_LEVEL_ERROR;
  scope->add(is_error, text);
}

}  // namespace

void ensure_backend() {
  static std::once_flag once;
  std::call_once(once, [] {
    llama_log_set(on_message, nullptr);
    llama_backend_init();
  });
}

}  // namespace aioss::engines::ik
