#include "cli/console.h"

#include <string>

#include "base/strings.h"
#include "cli/term.h"
#include "os/terminal.h"

namespace aioss::cli {

Console Console::standard() {
  constexpr int kInput = 0, kOutput = 1, kError = 2;
  ConsoleFacts facts;
  facts.input_is_terminal = os::is_terminal(kInput);
  facts.output_is_terminal = os::is_terminal(kOutput);
  facts.error_is_terminal = os::is_terminal(kError);
  facts.output_color = os::color_wanted(kOutput);
  facts.error_color = os::color_wanted(kError);
  facts.columns = os::terminal_width(facts.output_is_terminal ? kOutput : kError);
  return {stdout, stderr, facts};
}

bool Console::out(std::string_view text) {
  const std::size_t written = std::fwrite(text.data(), 1, text.size(), out_);
  return written == text.size() && std::fflush(out_) == 0;
}

void Console::note(std::string_view text) {
  error_raw(one_line(text) + "\n");
}

void Console::error_raw(std::string_view text) {
  // Nobody can be told that standard error does not work.
  std::fwrite(text.data(), 1, text.size(), error_);
  std::fflush(error_);
}

int Console::fail(const Error& error) {
  const std::string name = paint("aioss:", Color::kRed, facts_.error_color);
  error_raw(name + " " + one_line(error.message) + "\n");
  return static_cast<int>(info(error.code).exit_code);
}

int Console::print(const Result<std::string>& text) {
  if (!text) return fail(text.error());
  return out(*text) ? 0 : static_cast<int>(ExitCode::kFailure);
}

}  // namespace aioss::cli
