#include "engines/llama/log_scope.h"

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <string_view>

#include "llama.h"
#ifndef AIOSS_ENGINE_PLUGIN
#include "log.h"
#endif

namespace aioss::engines::llama {
namespace {

constexpr std::size_t kLineBytesMax = 400;  // fits aioss_error with a prefix

thread_local LogScope* current = nullptr;

void on_message(ggml_log_level level, const char* text, void* /*user*/) {
  if (current != nullptr && text != nullptr) current->add(static_cast<int>(level), text);
}

// One line on standard error; ggml aborts afterwards. Without it ggml would start a debugger.
void on_abort(const char* message) {
  std::fputs("engine llama: ", stderr);
  for (const char* p = message; *p != '\0'; ++p) {
    std::fputc(*p >= 0x20 && *p < 0x7F ? *p : ' ', stderr);
  }
  std::fputc('\n', stderr);
}

// "llama_model_load: error loading model: x" → "error loading model: x"
std::string_view without_function_name(std::string_view line) {
  const std::size_t colon = line.find(": ");
  if (colon == std::string_view::npos || line.find(' ') < colon) return line;
  return line.substr(colon + 2);
}

}  // namespace

LogScope::LogScope() : outer_(current) {
  current = this;
}

LogScope::~LogScope() {
  current = outer_;
}

void LogScope::add(int level, const char* text) {
  if (level != GGML_LOG_LEVEL_CONT) {
    line_.clear();
    line_is_error_ = level == GGML_LOG_LEVEL_ERROR;
  }
  if (!line_is_error_ || !error_.empty()) return;
  for (const char* p = text; *p != '\0'; ++p) {
    if (*p == '\n') {
      error_ = without_function_name(line_);
      line_.clear();
      return;
    }
    const bool printable = *p >= 0x20 && *p < 0x7F;
    if (line_.size() < kLineBytesMax) line_ += printable ? *p : '?';
  }
}

std::string LogScope::error_or(const std::string& fallback) const {
  if (!error_.empty()) return error_;
  return line_is_error_ && !line_.empty() ? std::string(without_function_name(line_)) : fallback;
}

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
