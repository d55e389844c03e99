// The terminal, as far as a command line needs it. Functions are thread-safe; a RawMode belongs to
// one owner.
#pragma once

#include <termios.h>

#include <cstddef>
#include <memory>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace aioss::os {

bool is_terminal(int descriptor);
// Columns; `fallback` if the descriptor is no terminal or has no size.
unsigned terminal_width(int descriptor, unsigned fallback = 80);
unsigned terminal_height(int descriptor, unsigned fallback = 24);  // lines; likewise
// Colour is wanted: a terminal, NO_COLOR unset or empty, TERM not "dumb".
bool color_wanted(int descriptor);

// Keys as they are typed, without echo, line editing or (with keep_signals false) signal keys;
// output processing stays. The earlier mode comes back when it is destroyed. It does not come back
// after a SIGKILL: nothing can see to that.
class RawMode final {
 public:
  static Result<std::unique_ptr<RawMode>> create(int descriptor, bool keep_signals = true);
  ~RawMode();
  RawMode(const RawMode&) = delete;
  RawMode& operator=(const RawMode&) = delete;

 private:
  RawMode(int descriptor, const termios& before) : descriptor_(descriptor), before_(before) {}
  const int descriptor_;  // borrowed
  const termios before_;
};

// Prints the question and reads one line that is not shown as it is typed: Backspace and Ctrl-U
// mend it, Enter ends it. kCancelled by Ctrl-C, Ctrl-D or the end of the terminal. The bytes are in
// one place only, so that the caller can wipe them.
Result<Bytes> read_hidden_line(int descriptor, std::string_view question, std::size_t bytes_max);
// The same on the terminal that the process belongs to, whatever its standard streams are;
// kNotFound if it has none.
Result<Bytes> ask_hidden(std::string_view question, std::size_t bytes_max);

}  // namespace aioss::os
