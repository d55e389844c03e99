// The interactive chat of `aioss run`: prompt, answer, prompt, with the whole conversation sent
// each turn. Ctrl-C stops an answer, Ctrl-D leaves. Blocking, one thread; owns the terminal while
// it runs.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "cli/console.h"
#include "cli/generation.h"
#include "cli/interrupt.h"
#include "cli/line_editor.h"
#include "runtime/gateway.h"

namespace aioss::cli {

struct ChatOptions {
  runtime::GenerateCall call;  // everything but the prompt
  std::string system;
  bool stats = false;
};

class Chat final {
 public:
  Chat(runtime::Gateway& gateway, const Clock& clock, Console& console, Interrupt& interrupt,
       ChatOptions options)
      : gateway_(gateway),
        clock_(clock),
        console_(console),
        interrupt_(interrupt),
        options_(std::move(options)),
        system_(options_.system) {}
  Chat(const Chat&) = delete;
  Chat& operator=(const Chat&) = delete;

  int run();  // the exit code

 private:
  enum class Next { kGoOn, kSubmit, kLeave };
  Result<std::optional<std::string>> read_message(LineEditor& editor);
  std::optional<std::string> take_message(LineEditor& editor, Next next);
  Next feed(LineEditor& editor, std::string_view bytes);
  Next on_message(const std::string& message);
  Next on_command(const std::string& command);
  void answer(const std::string& message);
  void print_dim(std::string_view text);

  runtime::Gateway& gateway_;
  const Clock& clock_;
  Console& console_;
  Interrupt& interrupt_;
  const ChatOptions options_;
  std::string system_;
  std::vector<ipc::ChatMessage> messages_;  // without the system message
  std::string typed_ahead_;                 // bounded by one read
};

}  // namespace aioss::cli
