// `aioss top`: a running server, watched. Takes nothing but GET /admin/queue.
#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "cli/command_list.h"
#include "cli/interrupt.h"
#include "cli/key_argument.h"
#include "cli/term.h"
#include "cli/top_view.h"
#include "codec/json.h"
#include "http/client.h"
#include "os/signals.h"
#include "os/terminal.h"

namespace aioss::cli {
namespace {

constexpr std::chrono::milliseconds kPatience{5'000};
constexpr std::chrono::milliseconds kBetween{1'000};
constexpr int kOk = 200;
constexpr std::int64_t kNsPerSecond = 1'000'000'000;

struct Asked {
  http::ServerPlace place;
  http::Headers headers;
};

Result<Asked> what_to_ask(const Services& services, const Invocation& invocation) {
  AIOSS_TRY(const Config config,
            load_config(services.files, services.environment, invocation.config));
  Asked asked;
  asked.place.unix_path = config.text(Key::kUnix);
  asked.place.host = config.text(Key::kHost);
  asked.place.port = static_cast<std::uint16_t>(config.number(Key::kPort));
  if (const auto given = invocation.text("--key")) {
    AIOSS_TRY(const std::string key, key_argument(services.files, "--key", *given));
    asked.headers.emplace_back("Authorization", "Bearer " + key);
  }
  return asked;
}

// What the server says is wrong, for people.
Error refusal(const http::ServerReply& reply) {
  std::string why = "status " + std::to_string(reply.status);
  const auto json = codec::parse_json(reply.body);
  if (json && json->is_object() && json->contains("error")) {
    const codec::Json& error = (*json)["error"];
    const bool said = error.is_object() && error.contains("message");
    if (said && error["message"].is_string()) {
      why = safe_text(error["message"].get_ref<const std::string&>(), false);
    }
  }
  const bool identity = reply.status == 401 || reply.status == 403;
  return {identity ? Code::kForbidden : Code::kIo,
          "the server refuses: " + why + (identity ? "; give a key with --key" : "")};
}

Result<std::string> ask(const Asked& asked, const http::Stop& stop = nullptr) {
  auto reply = http::get(asked.place, "/admin/queue", asked.headers, kPatience, stop);
  if (!reply) {
    Error error = std::move(reply).error();
    if (error.code == Code::kNotFound) {
      error.message += "; start one with 'aioss serve', or say where it is with --port or --unix";
    }
    return error;
  }
  if (reply->status != kOk) return refusal(*reply);
  return std::move(reply->body);
}

TopFrame frame_of(const Services& services, const Asked& asked) {
  TopFrame frame;
  frame.place = asked.place.shown();
  frame.time = utc_time(services.clock.wall_ns() / kNsPerSecond);
  frame.columns_max = services.console.table_columns();
  frame.color = services.console.facts().output_color;
  return frame;
}

int show_once(const Services& services, const Asked& asked, bool json) {
  Console& console = services.console;
  const auto page = ask(asked);
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
TopFrame screen_frame(const Services& services, const Asked& asked) {
  constexpr int kOutput = 1;
  TopFrame frame = frame_of(services, asked);
  frame.columns_max = os::terminal_width(kOutput, services.console.facts().columns);
  frame.rows_max = std::max(os::terminal_height(kOutput), 2U) - 1;
  return frame;
}

// A server that goes away for a moment is waited for: the last frame stays, with a note.
class Watch final {
 public:
  Watch(const Services& services, const Asked& asked, Interrupt& interrupt)
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
    auto next = ask(asked_, [this] { return is_interrupted(); });
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
  const Asked& asked_;
  Interrupt& interrupt_;
  std::string page_;
  std::optional<Screen> screen_;
};

}  // namespace

int top_command(const Services& services, const Invocation& invocation) {
  Console& console = services.console;
  const bool terminal = console.facts().output_is_terminal;
  const bool json = invocation.has("--json");
  const auto asked = what_to_ask(services, invocation);
  if (!asked) return console.fail(asked.error());
  if (!terminal || json || invocation.has("--once")) return show_once(services, *asked, json);
  const auto interrupt = Interrupt::for_screen();
  if (!interrupt) return console.fail(interrupt.error());
  const Status watched = Watch(services, *asked, **interrupt).run();
  return watched ? 0 : console.fail(watched.error());
}

}  // namespace aioss::cli
