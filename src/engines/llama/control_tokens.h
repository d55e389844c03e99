// The texts that a vocabulary reads as control tokens ("<|im_end|>"), and tokenization in which
// only the template's own text may contain them: what a user typed stays plain text. Immutable
// after creation; any thread may use it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "engine/text.h"
#include "llama.h"

namespace aioss::engines::llama {

// A run of rendered prompt text, from the template or from a message.
struct PromptPart {
  bool is_input = false;
  std::string text;
};

class ControlTokens final {
 public:
  explicit ControlTokens(const llama_vocab* vocab);  // of a model that outlives this

  // True if a control token's text touches a byte of an input part.
  bool touches_input(const std::vector<PromptPart>& parts) const;
  // As llama_tokenize with parse_special, but control tokens are recognised only where every byte
  // of their text comes from the template. Adds begin and end tokens if the model wants them.
  Result<std::vector<engine::Token>> tokenize(const std::vector<PromptPart>& parts) const;

 private:
  struct Node {
    std::vector<std::pair<unsigned char, std::uint32_t>> children;  // ascending by byte
    engine::Token token = -1;
  };
  struct Match {
    engine::Token token = -1;
    std::size_t size = 0;
  };
  void insert(std::string_view text, engine::Token token);
  Match longest_at(std::string_view text) const;

  const llama_vocab* vocab_;
  std::vector<Node> nodes_;
};

// llama_tokenize with its errors as values.
Result<std::vector<engine::Token>> tokenize_text(const llama_vocab* vocab, std::string_view text,
                                                 bool add_special, bool parse_special);
// llama_token_to_piece; `special` writes control tokens out.
std::string piece_of(const llama_vocab* vocab, engine::Token token, bool special);

}  // namespace aioss::engines::llama
