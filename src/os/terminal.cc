#include "os/terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "os/environment.h"
#include "os/file.h"

namespace aioss::os {
namespace {

constexpr char kCtrlC = 0x03, kCtrlD = 0x04, kCtrlH = 0x08, kCtrlU = 0x15, kDelete = 0x7F;

// A terminal that takes nothing any more will say so when it is read.
void print(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t put = ::write(descriptor, text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(put));
  }
}

// Takes back one character of UTF-8, not one byte.
void erase_last(Bytes& line) {
  constexpr std::uint8_t kContinuationMask = 0xC0, kContinuation = 0x80;
  while (!line.empty()) {
    const bool continues = (line.back() & kContinuationMask) == kContinuation;
    line.back() = 0;
    line.pop_back();
    if (!continues) return;
  }
}

}  // namespace

bool is_terminal(int descriptor) {
  return ::isatty(descriptor) == 1;
}

unsigned terminal_width(int descriptor, unsigned fallback) {
  winsize size{};
  if (::ioctl(descriptor, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return fallback;
  return size.ws_col;
}

unsigned terminal_height(int descriptor, unsigned fallback) {
  winsize size{};
  if (::ioctl(descriptor, TIOCGWINSZ, &size) != 0 || size.ws_row == 0) return fallback;
  return size.ws_row;
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

Result<Bytes> read_hidden_line(int descriptor, std::string_view question, std::size_t bytes_max) {
  // Signal keys come as bytes: a process that Ctrl-C ends would leave the terminal without echo.
  AIOSS_TRY(const auto raw, RawMode::create(descriptor, false));
  print(descriptor, question);
  Bytes line;
  line.reserve(bytes_max);  // never moved, so that no copy stays behind
  const auto give_up = [&](std::string_view why) {
    std::fill(line.begin(), line.end(), std::uint8_t{0});
    print(descriptor, "\n");
    return Error{Code::kCancelled, std::string(why)};
  };
  for (;;) {
    char typed = 0;
    const ssize_t got = ::read(descriptor, &typed, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0 || typed == kCtrlC || typed == kCtrlD) return give_up("nothing was entered");
    if (typed == '\r' || typed == '\n') break;
    if (typed == kDelete || typed == kCtrlH) {
      erase_last(line);
    } else if (typed == kCtrlU) {
      std::fill(line.begin(), line.end(), std::uint8_t{0});
      line.clear();
    } else if (line.size() == bytes_max) {
      return give_up("the line is too long");
    } else {
      line.push_back(static_cast<std::uint8_t>(typed));
    }
  }
  print(descriptor, "\n");
  return line;
}

Result<Bytes> ask_hidden(std::string_view question, std::size_t bytes_max) {
  const Fd terminal(::open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY));
  if (!terminal.valid()) return Error{Code::kNotFound, "there is no terminal to ask on"};
  return read_hidden_line(terminal.get(), question, bytes_max);
}

}  // namespace aioss::os
