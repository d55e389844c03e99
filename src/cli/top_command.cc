// `aioss top`: a running server, watched. Takes nothing but GET /admin/queue.
#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "base/clock.h"
#include "cli/command_list.h"
#include "cli/interrupt.h"
#include "cli/server_access.h"
#include "cli/term.h"
#include "cli/top_view.h"
#include "os/signals.h"
#include "os/terminal.h"

namespace aioss::cli {
namespace {

constexpr const char* kPage = "/admin/queue";
constexpr std::chrono::milliseconds kBetween{1'000};

TopFrame frame_of(const Services& services, const ServerAccess& asked) {
  TopFrame frame;
  frame.place = asked.place.shown();
  frame.time = utc_time(services.clock.wall_ns() / kNsPerSecond);
  frame.columns_max = services.console.table_columns();
  frame.color = services.console.facts().output_color;
  return frame;
}

int show_once(const Services& services, const ServerAccess& asked, bool json) {
  Console& console = services.console;
  const auto page = get_page(asked, kPage);
  if (!page) return console.fail(page.error());
  const auto shown =
      json ? top_json(*page, asked.place.shown()) : top_frame(*page, frame_of(services, asked));
  if (!shown) return console.fail(shown.error());
  const bool terminal = json && console.facts().output_is_terminal;
  const bool put = console.out(terminal ? safe_text(*shown, true) : *shown);
  return put ? 0 : static_cast<int>(ExitCode::kFailure);
}

// The terminal's other screen, without a cursor, until it is destroyed.
class Screen final {
 public:
  explicit Screen(Console& console) : console_(console) { console_.out("\x1b[?1049h\x1b[?25l"); }
  ~Screen() { console_.out("\x1b[?25h\x1b[?1049l"); }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  bool show(const std::string& frame) {
    std::string out = "\x1b[H";
    for (const char c : frame) out += c == '\n' ? std::string("\x1b[K\r\n") : std::string(1, c);
    return console_.out(out + "\x1b[J");
  }

 private:
  Console& console_;
};

// As large as the terminal is now, but for the line that the cursor stays on.
TopFrame screen_frame(const Services& services, const ServerAccess& asked) {
  constexpr int kOutput = 1;
  TopFrame frame = frame_of(services, asked);
  frame.columns_max = os::terminal_width(kOutput, services.console.facts().columns);
  frame.rows_max = std::max(os::terminal_height(kOutput), 2U) - 1;
  return frame;
}

// A server that goes away for a moment is waited for: the last frame stays, with a note.
class Watch final {
 public:
  Watch(const Services& services, const ServerAccess& asked, Interrupt& interrupt)
      : services_(services), asked_(asked), interrupt_(interrupt) {}

  Status run() {
    for (;;) {
      AIOSS_CHECK(look());
      if (!interrupt_.wait_for(kBetween)) continue;
      screen_.reset();  // the terminal is as it was, whatever comes now
      if (!interrupt_.take_suspension()) return ok();
      os::suspend_process();
    }
  }

 private:
  bool is_interrupted() { return interrupt_.wait_for(std::chrono::milliseconds(0)); }

  // Nothing is drawn before something has come.
  Status look() {
    auto next = get_page(asked_, kPage, [this] { return is_interrupted(); });
    if (is_interrupted()) return ok();
    if (!next && page_.empty()) return std::move(next).error();
    TopFrame frame = screen_frame(services_, asked_);
    if (!next) frame.note = clip(safe_text(next.error().message, false), frame.columns_max);
    if (next) page_ = std::move(*next);
    AIOSS_TRY(const std::string shown, top_frame(page_, frame));
    if (!screen_.has_value()) screen_.emplace(services_.console);
    if (screen_->show(shown)) return ok();
    return Error{Code::kIo, "the terminal takes nothing any more"};
  }

  const Services& services_;
  const ServerAccess& asked_;
  Interrupt& interrupt_;
  std::string page_;
  std::optional<Screen> screen_;
};

}  // namespace

int top_command(const Services& services, const Invocation& invocation) {
  Console& console = services.console;
  const bool terminal = console.facts().output_is_terminal;
  const bool json = invocation.has("--json");
  const auto asked = server_access(services, invocation);
  if (!asked) return console.fail(asked.error());
  if (!terminal || json || invocation.has("--once")) return show_once(services, *asked, json);
  const auto interrupt = Interrupt::for_screen();
  if (!interrupt) return console.fail(interrupt.error());
  const Status watched = Watch(services, *asked, **interrupt).run();
  return watched ? 0 : console.fail(watched.error());
}

}  // namespace aioss::cli
