#include "engines/llama/backend.h"

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <optional>

#include "llama.h"
#ifndef AIOSS_ENGINE_PLUGIN
#include "log.h"
#endif

namespace aioss::engines::llama {
namespace {

void on_message(ggml_log_level level, const char* text, void* /*user*/) {
  LogScope* const scope = LogScope::current();
  if (scope == nullptr || text == nullptr) return;
  std::optional<bool> is_error;
  if (level != GGML_LOG_LEVEL_CONT) is_error = level == GGML_LOG_LEVEL_ERROR;
  scope->add(is_error, text);
}

// One line on standard error; ggml aborts afterwards. Without it ggml would start a debugger.
void on_abort(const char* message) {
  std::fputs("engine llama: ", stderr);
  for (const char* p = message; *p != '\0'; ++p) {
    std::fputc(*p >= 0x20 && *p < 0x7F ? *p : ' ', stderr);
  }
  std::fputc('\n', stderr);
}

}  // namespace

void ensure_backend() {
  static std::once_flag once;
  std::call_once(once, [] {
    ggml_set_abort_callback(on_abort);
    // ggml installs one that starts a debugger for a stack trace: not in a confined process.
    std::set_terminate(std::abort);
#ifndef AIOSS_ENGINE_PLUGIN              // which has no llama-common
    common_log_set_verbosity_thold(-1);  // it logs through a thread of its own
#endif
    llama_log_set(on_message, nullptr);
    llama_backend_init();
  });
}

}  // namespace aioss::engines::llama
