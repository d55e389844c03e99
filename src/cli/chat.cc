#include "cli/chat.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/clock.h"
#include "base/strings.h"
#include "base/suggest.h"
#include "cli/line_editor.h"
#include "cli/term.h"
#include "os/read_some.h"
#include "os/terminal.h"

namespace aioss::cli {
namespace {

constexpr int kInput = 0;
// How soon SIGTERM is noticed at the prompt.
constexpr std::chrono::milliseconds kChatPoll{200};

constexpr std::string_view kPasteOn = "\x1b[?2004h";
constexpr std::string_view kPasteOff = "\x1b[?2004l";

constexpr std::string_view kHelp =
    "/help            this list\n"
    "/clear           forget the conversation\n"
    "/system TEXT     new instructions; without TEXT: none. The conversation goes on\n"
    "/exit            leave; so does Ctrl-D\n"
    "Ctrl-C           stop the answer\n"
    "a \\ at the end   goes on in the next line; pasted text may have many\n";

// Raw mode and bracketed paste, for as long as it lives.
class RawTerminal {
 public:
  static Result<std::unique_ptr<RawTerminal>> create(Console& console) {
    AIOSS_TRY(auto raw, os::RawMode::create(kInput, false));
    return std::unique_ptr<RawTerminal>(new RawTerminal(console, std::move(raw)));
  }
  ~RawTerminal() { console_.out(kPasteOff); }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

 private:
  RawTerminal(Console& console, std::unique_ptr<os::RawMode> raw)
      : console_(console), raw_(std::move(raw)) {
    console_.out(kPasteOn);
  }
  Console& console_;
  std::unique_ptr<os::RawMode> raw_;
};

}  // namespace

int Chat::run() {
  LineEditor editor("> ", ". ");
  print_dim("/help lists the commands, Ctrl-C stops an answer, Ctrl-D leaves.\n");
  for (;;) {
    auto message = read_message(editor);
    if (!message) return console_.fail(message.error());
    if (!*message) break;
    if (on_message(**message) == Next::kLeave) break;
    if (interrupt_.terminated()) break;
  }
  return static_cast<int>(interrupt_.terminated() ? ExitCode::kInterrupted : ExitCode::kOk);
}

// The next message; nothing at the end (Ctrl-D, SIGTERM, a terminal that is gone).
Result<std::optional<std::string>> Chat::read_message(LineEditor& editor) {
  AIOSS_TRY(const auto raw, RawTerminal::create(console_));
  if (const Next next = feed(editor, std::exchange(typed_ahead_, {})); next != Next::kGoOn) {
    return take_message(editor, next);
  }
  console_.out(editor.draw(os::terminal_width(kInput)));
  std::array<std::uint8_t, 4096> bytes{};
  for (;;) {
    const auto count = os::read_some(kInput, bytes, kChatPoll);
    if (interrupt_.terminated()) return take_message(editor, Next::kLeave);
    if (!count && count.error().code == Code::kTimeout) continue;
    if (!count) return count.error();
    if (*count == 0) return take_message(editor, Next::kLeave);
    const Next next = feed(editor, as_text(std::span(bytes).first(*count)));
    console_.out(editor.draw(os::terminal_width(kInput)));
    if (next != Next::kGoOn) return take_message(editor, next);
  }
}

std::optional<std::string> Chat::take_message(LineEditor& editor, Next next) {
  console_.out(editor.finish(os::terminal_width(kInput)));
  if (next == Next::kLeave) return std::nullopt;
  return editor.take_line();
}

// Up to the byte that ends the message; the rest was typed ahead and waits for the next prompt.
Chat::Next Chat::feed(LineEditor& editor, std::string_view bytes) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    switch (editor.feed(static_cast<unsigned char>(bytes[i]))) {
      case LineEditor::Event::kNone:
        break;
      case LineEditor::Event::kClear:
        console_.out("\x1b[2J\x1b[H");
        editor.forget_drawing();
        break;
      case LineEditor::Event::kInterrupt:
        console_.out(editor.draw(os::terminal_width(kInput)));
        console_.out(editor.finish(os::terminal_width(kInput)));
        if (editor.text().empty()) print_dim("Ctrl-D or /exit leaves.\n");
        editor.clear();
        break;
      case LineEditor::Event::kEnd:
        return Next::kLeave;
      case LineEditor::Event::kSubmit:
        typed_ahead_ = bytes.substr(i + 1);
        return Next::kSubmit;
    }
  }
  return Next::kGoOn;
}

Chat::Next Chat::on_message(const std::string& message) {
  if (trim(message).empty()) return Next::kGoOn;
  if (message.front() == '/') return on_command(message);
  answer(message);
  return Next::kGoOn;
}

Chat::Next Chat::on_command(const std::string& command) {
  const std::size_t space = std::min(command.find_first_of(" \n"), command.size());
  const std::string name = command.substr(0, space);
  const std::string rest(trim(std::string_view(command).substr(space)));
  if (name == "/exit" || name == "/quit" || name == "/bye") return Next::kLeave;
  if (name == "/help") {
    console_.out(kHelp);
  } else if (name == "/clear") {
    messages_.clear();
    print_dim("The conversation is forgotten.\n");
  } else if (name == "/system") {
    system_ = rest;
    print_dim(rest.empty() ? "No instructions.\n" : "New instructions from here on.\n");
  } else {
    const std::string hint = did_you_mean(name, {"/help", "/clear", "/system", "/exit"});
    const std::string text = "No command " + name + (hint.empty() ? "; /help lists them" : hint);
    print_dim(safe_text(text, false) + "\n");
  }
  return Next::kGoOn;
}

void Chat::answer(const std::string& message) {
  runtime::GenerateCall call = options_.call;
  std::vector<ipc::ChatMessage> all;
  if (!system_.empty()) all.push_back({"system", system_, ""});
  all.insert(all.end(), messages_.begin(), messages_.end());
  all.push_back({"user", message, ""});
  call.request.prompt = std::move(all);
  call.request.now_unix_s = clock_.wall_ns() / kNsPerSecond;
  interrupt_.take();  // a Ctrl-C from before is not for this answer
  const GenerationResult result =
      generate(gateway_, clock_, interrupt_, std::move(call),
               [&](std::string_view text) { return console_.out(safe_text(text, true)); });
  if (!result.text.empty() && result.text.back() != '\n') console_.out("\n");
  const bool stopped = result.error && result.error->code == Code::kCancelled;
  if (stopped) print_dim("(stopped)\n");
  if (result.error && !stopped) console_.fail(*result.error);
  if (result.error && result.error->code == Code::kContextExceeded) {
    print_dim("/clear forgets the conversation and makes room.\n");
  }
  if (options_.stats) print_dim(describe(result) + "\n");
  // What was said counts, also if it was stopped half-way. A message without an answer leaves no
  // trace.
  if ((result.error && !stopped) || result.text.empty()) return;
  messages_.push_back({"user", message, ""});
  messages_.push_back({"assistant", result.text, ""});
}

void Chat::print_dim(std::string_view text) {
  console_.out(paint(text, Color::kDim, console_.facts().output_color));
}

}  // namespace aioss::cli
