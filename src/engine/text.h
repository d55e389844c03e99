// The text side of a model: tokenizer and chat template. Separate from the engine ABI, because both
// always come from the linked llama.cpp, whatever engine does the arithmetic. Implemented by
// engines/llama (real vocabularies) and engines/fake (scripted). Used by the worker only: model
// files are untrusted, and parsing them happens behind its sandbox.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace aioss::engine {

using Token = std::int32_t;

struct ChatMessage {
  std::string role;     // "system", "user", "assistant", "tool", "developer"
  std::string content;  // text parts already joined
  std::string name;     // optional, "" if absent
};

struct TextFacts {
  bool has_chat_template = false;
  std::string chat_template_sha3;  // hex, "" without one
  std::uint32_t vocabulary_size = 0;
  std::uint32_t context_tokens_train = 0;
};

// Asked about the text of a prompt before it is tokenized; its error is the answer.
using TextCheck = std::function<Status(std::string_view)>;

// Owned by the worker; one thread at a time. No exception leaves it.
class TextModel {
 public:
  virtual ~TextModel() = default;

  virtual TextFacts facts() const = 0;
  // Special tokens are recognised in `text` only if `parse_special` (templates, never plain user
  // text of a completion). Begin-of-sequence is added if the model wants it and `add_special`.
  virtual Result<std::vector<Token>> tokenize(std::string_view text, bool add_special,
                                              bool parse_special) const = 0;
  // The bytes of one token, "" for control tokens. May be a part of a UTF-8 character.
  virtual std::string piece(Token token) const = 0;
  // Also for control tokens, as the vocabulary writes them: for logprobs, never for output text.
  virtual std::string display(Token token) const = 0;
  virtual bool is_end_of_generation(Token token) const = 0;
  // The prompt that the model's own template makes of the messages, ready for the assistant's turn,
  // and tokenized so that special tokens typed by a user stay plain text where the template allows
  // it. `now_unix_s` is what a template that asks for the date sees. kUnsupported without a
  // template. `check`, unless empty, is asked about what the template made.
  virtual Result<std::vector<Token>> apply_chat_template(const std::vector<ChatMessage>& messages,
                                                         std::int64_t now_unix_s,
                                                         const TextCheck& check = {}) const = 0;
};

}  // namespace aioss::engine
