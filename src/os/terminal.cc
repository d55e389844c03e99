#include "os/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>

#include "os/environment.h"

namespace aioss::os {

bool is_terminal(int descriptor) {
  return ::isatty(descriptor) == 1;
}

unsigned terminal_width(int descriptor, unsigned fallback) {
  winsize size{};
  if (::ioctl(descriptor, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return fallback;
  return size.ws_col;
}

bool color_wanted(int descriptor) {
  if (!is_terminal(descriptor)) return false;
  if (const auto no_color = environment("NO_COLOR"); no_color && !no_color->empty()) return false;
  return environment("TERM") != "dumb";
}

Result<std::unique_ptr<RawMode>> RawMode::create(int descriptor, bool keep_signals) {
  termios before{};
  if (::tcgetattr(descriptor, &before) != 0) {
    return error_from_errno(errno, "cannot read the terminal's mode");
  }
  termios raw = before;
  raw.c_iflag &= ~static_cast<tcflag_t>(BRKINT | ICRNL | INLCR | IGNCR | ISTRIP | IXON);
  raw.c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHONL | ICANON | IEXTEN);
  if (!keep_signals) raw.c_lflag &= ~static_cast<tcflag_t>(ISIG);
  raw.c_cc[VMIN] = 1;
  raw.c_cc[VTIME] = 0;
  // DRAIN, not FLUSH: what was typed ahead is kept.
  if (::tcsetattr(descriptor, TCSADRAIN, &raw) != 0) {
    return error_from_errno(errno, "cannot change the terminal's mode");
  }
  return std::unique_ptr<RawMode>(new RawMode(descriptor, before));
}

RawMode::~RawMode() {
  ::tcsetattr(descriptor_, TCSADRAIN, &before_);
}

}  // namespace aioss::os
