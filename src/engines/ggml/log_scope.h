// Messages of llama.cpp and of what descends from it, which would go to standard error: an error of
// the calling thread is kept for the message of a failing call, everything else is dropped. No
// header of theirs is needed here: each engine has its own tree, and routes its log by itself.
#pragma once

#include <optional>
#include <string>

namespace aioss::engines::ggml {

// Collects the messages of this thread while it lives. Scopes nest; the innermost collects. Create
// it on the stack around calls that may fail.
class LogScope final {
 public:
  LogScope();
  ~LogScope();
  LogScope(const LogScope&) = delete;
  LogScope& operator=(const LogScope&) = delete;

  // The first error line since the scope began, without the name of a function; it is the most
  // specific one. `fallback` if there was none. Printable ASCII only: it may quote a model file.
  std::string error_or(const std::string& fallback) const;

  // The innermost of this thread, or null: nobody listens.
  static LogScope* current();
  // The line that came last has not ended.
  bool is_amid_line() const { return !line_.empty(); }
  // A message, of one line, several or a part of one. `is_error` is empty if it goes on with the
  // line before.
  void add(std::optional<bool> is_error, const char* text);

 private:
  LogScope* outer_;
  std::string line_;  // so far
  bool line_is_error_ = false;
  std::string error_;
};

}  // namespace aioss::engines::ggml
