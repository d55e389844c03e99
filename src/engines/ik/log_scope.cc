#include "engines/ik/log_scope.h"

#include <mutex>
#include <string_view>

#include "llama.h"

namespace aioss::engines::ik {
namespace {

constexpr std::size_t kLineBytesMax = 400;  // fits aioss_error with a prefix

thread_local LogScope* current = nullptr;

void on_message(ggml_log_level level, const char* text, void* /*user*/) {
  if (current != nullptr && text != nullptr) current->add(static_cast<int>(level), text);
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
  // A message that goes on has no level of its own in this tree: one that begins is never empty.
  if (line_.empty()) line_is_error_ = level == GGML_LOG_LEVEL_ERROR;
  for (const char* p = text; *p != '\0'; ++p) {
    if (*p == '\n') {
      if (line_is_error_ && error_.empty()) error_ = without_function_name(line_);
      line_.clear();
      continue;
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
    llama_log_set(on_message, nullptr);
    llama_backend_init();
  });
}

}  // namespace aioss::engines::ik
