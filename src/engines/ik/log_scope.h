// Messages of ik_llama.cpp, which would go to standard error: the last error of the calling thread
// is kept for the message of a failing call, everything else is dropped. What it prints past its
// own log, to standard output, is dropped at link time (quiet.cc).
#pragma once

#include <string>

namespace aioss::engines::ik {

// Collects the messages of this thread while it lives. Scopes nest; the innermost collects.
class LogScope final {
 public:
  LogScope();
  ~LogScope();
  LogScope(const LogScope&) = delete;
  LogScope& operator=(const LogScope&) = delete;

  // The first error line since the scope began, without the name of a function; `fallback` if there
  // was none. Printable ASCII only: it may quote a model file.
  std::string error_or(const std::string& fallback) const;

  void add(int level, const char* text);

 private:
  LogScope* outer_;
  std::string line_;   // unfinished
  std::string error_;  // the first complete error line
  bool line_is_error_ = false;
};

// Routes messages to the scopes and initialises the backend, once for the process. Thread-safe.
void ensure_backend();

}  // namespace aioss::engines::ik
