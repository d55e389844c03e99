// Messages of llama.cpp and ggml, which would go to standard error: the last error of the calling
// thread is kept for the message of a failing call, everything else is dropped.
#pragma once

#include <string>

namespace aioss::engines::llama {

// Collects the messages of this thread while it lives. Scopes nest; the innermost collects. Create
// it on the stack around calls into llama.cpp that may fail.
class LogScope final {
 public:
  LogScope();
  ~LogScope();
  LogScope(const LogScope&) = delete;
  LogScope& operator=(const LogScope&) = delete;

  // The first error line since the scope began, without llama.cpp's function name; it is the most
  // specific one. `fallback` if there was none. Printable ASCII only: it may quote a model file.
  std::string error_or(const std::string& fallback) const;

  void add(int level, const char* text);

 private:
  LogScope* outer_;
  std::string line_;   // unfinished
  std::string error_;  // the first complete error line
  bool line_is_error_ = false;
};

// Routes llama.cpp, ggml and llama-common to the scopes and initialises the backends, once for the
// process. Cheap afterwards. Thread-safe.
void ensure_backend();

}  // namespace aioss::engines::llama
