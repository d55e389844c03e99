// Standard output and error of a command. Answers and data go to out(); everything that is not
// asked for goes to note(), so that a pipe gets the answer and nothing else. One thread at a time;
// borrows the two streams.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

#include "base/result.h"

namespace aioss::cli {

struct ConsoleFacts {
  bool input_is_terminal = false;
  bool output_is_terminal = false;
  bool error_is_terminal = false;
  bool output_color = false;
  bool error_color = false;
  unsigned columns = 80;
};

class Console final {
 public:
  Console(std::FILE* out, std::FILE* error, const ConsoleFacts& facts)
      : out_(out), error_(error), facts_(facts) {}
  static Console standard();  // the process's own streams

  const ConsoleFacts& facts() const { return facts_; }
  // Writes and flushes. False once the reader is gone or the disk is full: stop producing.
  bool out(std::string_view text);
  // A line on standard error, cut to one line and made safe; the line end is added.
  void note(std::string_view text);
  // As it is, flushed: progress bars and their removal.
  void error_raw(std::string_view text);
  // "aioss: MESSAGE" (red on a terminal); returns the exit code that belongs to it.
  int fail(const Error& error);
  // What a command has to say, as it is, or why it failed; returns the exit code.
  int print(const Result<std::string>& text);
  // Columns of the terminal, 0 if standard output is none: tables are not clipped then.
  std::size_t table_columns() const { return facts_.output_is_terminal ? facts_.columns : 0; }

 private:
  std::FILE* out_;
  std::FILE* error_;
  ConsoleFacts facts_;
};

}  // namespace aioss::cli
