// The terminal, as far as a command line needs it. Functions are thread-safe; a RawMode belongs to
// one owner.
#pragma once

#include <termios.h>

#include <memory>

#include "base/result.h"

namespace aioss::os {

bool is_terminal(int descriptor);
// Columns; `fallback` if the descriptor is no terminal or has no size.
unsigned terminal_width(int descriptor, unsigned fallback = 80);
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

}  // namespace aioss::os
