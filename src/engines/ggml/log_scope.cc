#include "engines/ggml/log_scope.h"

#include <string_view>

namespace aioss::engines::ggml {
namespace {

constexpr std::size_t kLineBytesMax = 400;  // fits aioss_error with a prefix

thread_local LogScope* innermost = nullptr;

// "llama_model_load: error loading model: x" → "error loading model: x"
std::string_view without_function_name(std::string_view line) {
  const std::size_t colon = line.find(": ");
  if (colon == std::string_view::npos || line.find(' ') < colon) return line;
  return line.substr(colon + 2);
}

}  // namespace

LogScope::LogScope() : outer_(innermost) {
  innermost = this;
}

LogScope::~LogScope() {
  innermost = outer_;
}

LogScope* LogScope::current() {
  return innermost;
}

void LogScope::add(std::optional<bool> is_error, const char* text) {
  if (is_error) {
    line_.clear();
    line_is_error_ = *is_error;
  }
  for (const char* p = text; *p != '\0'; ++p) {
    if (*p == '\n') {
      if (line_is_error_ && error_.empty()) error_ = without_function_name(line_);
      line_.clear();
      continue;
    }
    const bool is_printable = *p >= 0x20 && *p < 0x7F;
    if (line_.size() < kLineBytesMax) line_ += is_printable ? *p : '?';
  }
}

std::string LogScope::error_or(const std::string& fallback) const {
  if (!error_.empty()) return error_;
  return line_is_error_ && !line_.empty() ? std::string(without_function_name(line_)) : fallback;
}

}  // namespace aioss::engines::ggml
