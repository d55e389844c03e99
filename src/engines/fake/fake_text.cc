// The text side of the fake engine: bytes are tokens, roles are control tokens, and nothing that a
// user types in a chat becomes one.
#include "engines/fake/fake_engine.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/assert.h"
#include "engines/fake/model.h"

namespace aioss::engines::fake {
namespace {

using engine::Token;

// The control token that `text` begins with, or -1.
Token control_at(std::string_view text) {
  for (Token token = kTokenBos; token < kVocabularySize; ++token) {
    if (text.starts_with(control_name(token))) return token;
  }
  return -1;
}

Token role_token(std::string_view role) {
  if (role == "system") return kTokenSystem;
  if (role == "user") return kTokenUser;
  if (role == "assistant") return kTokenAssistant;
  if (role == "tool") return kTokenTool;
  if (role == "developer") return kTokenDeveloper;
  return -1;
}

void append_bytes(std::vector<Token>& out, std::string_view text) {
  for (const char c : text) out.push_back(static_cast<unsigned char>(c));
}

std::uintptr_t frame_address() {
  return reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
}

// Recurses until so much of the stack lies between `top` and here, as a tokenizer does that calls
// itself for each character.
[[gnu::noinline]] int use_stack(std::uintptr_t top, std::size_t bytes) {
  volatile char room[512];
  room[0] = 1;
  if (top - frame_address() >= bytes) return room[0];
  const int below = use_stack(top, bytes);
  room[1] = 1;  // after the call, so that it stays one
  return below + room[1];
}

class FakeTextModel final : public engine::TextModel {
 public:
  explicit FakeTextModel(const FakeModel& model) : model_(model) {}

  engine::TextFacts facts() const override {
    engine::TextFacts facts;
    facts.has_chat_template = model_.script.has_template;
    // Not a real digest: a fixed, recognisable one of the right length.
    if (facts.has_chat_template) facts.chat_template_sha3 = std::string(64, 'f');
    facts.vocabulary_size = kVocabularySize;
    facts.context_tokens_train = model_.script.context_tokens;
    return facts;
  }

  Result<std::vector<Token>> tokenize(std::string_view text, bool add_special,
                                      bool parse_special) const override {
    recurse_over(text.size());
    std::vector<Token> out;
    out.reserve(text.size() + 1);
    if (add_special) out.push_back(kTokenBos);
    while (!text.empty()) {
      const Token control = parse_special ? control_at(text) : -1;
      if (control >= 0) {
        out.push_back(control);
        text.remove_prefix(control_name(control).size());
      } else {
        out.push_back(static_cast<unsigned char>(text.front()));
        text.remove_prefix(1);
      }
    }
    return out;
  }

  std::string piece(Token token) const override {
    return token >= 0 && token < kTokenBos ? std::string(1, static_cast<char>(token)) : "";
  }

  std::string display(Token token) const override {
    return token >= kTokenBos ? std::string(control_name(token)) : piece(token);
  }

  bool is_end_of_generation(Token token) const override {
    return token == kTokenEos || token == kTokenEndOfTurn;
  }

  Result<std::vector<Token>> apply_chat_template(
      const std::vector<engine::ChatMessage>& messages,
      std::int64_t /*now_unix_s: this template does not ask for the date*/,
      const engine::TextCheck& check) const override {
    if (!model_.script.has_template) {
      return Error{Code::kUnsupported,
                   "this model has no chat template; use /v1/completions with it"};
    }
    std::vector<Token> out = {kTokenBos};
    std::string prompt;
    for (const engine::ChatMessage& message : messages) {
      const Token role = role_token(message.role);
      if (role < 0) {
        return Error{Code::kInvalidArgument, "the template knows no role '" + message.role + "'"};
      }
      out.push_back(role);
      append_bytes(out, message.content);
      out.push_back(kTokenEndOfTurn);
      prompt += control_name(role);
      prompt += message.content;
      prompt += control_name(kTokenEndOfTurn);
    }
    out.push_back(kTokenAssistant);
    prompt += control_name(kTokenAssistant);
    if (check) AIOSS_CHECK(check(prompt));
    recurse_over(prompt.size());
    return out;
  }

 private:
  void recurse_over(std::size_t text_bytes) const {
    const std::size_t bytes = text_bytes * model_.script.stack_bytes_per_byte;
    if (bytes > 0) (void)use_stack(frame_address(), bytes);
  }

  const FakeModel& model_;
};

}  // namespace

Result<std::unique_ptr<engine::TextModel>> open_text(engine::Model& model) {
  ASSERT(model.engine().model_open == entry()->model_open);  // tests give it other names, too
  return std::unique_ptr<engine::TextModel>(new FakeTextModel(*unwrap(model.handle())));
}

}  // namespace aioss::engines::fake
