#include "engines/llama/control_tokens.h"

#include <algorithm>
#include <exception>
#include <limits>

#include "base/assert.h"

namespace aioss::engines::llama {
namespace {

using engine::Token;

// Over what a prompt may be (4 MiB of body), so that counts fit llama.cpp's 32 bits.
constexpr std::size_t kTextBytesMax = std::size_t{64} << 20;

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

}  // namespace

Result<std::vector<Token>> tokenize_text(const llama_vocab* vocab, std::string_view text,
                                         bool add_special, bool parse_special) {
  if (text.size() > kTextBytesMax) return Error{Code::kTooLarge, "the text is too long"};
  try {
    std::vector<Token> tokens(text.size() / 2 + 16);
    for (int attempt = 0; attempt < 2; ++attempt) {
      const std::int32_t n =
          llama_tokenize(vocab, text.data(), static_cast<std::int32_t>(text.size()), tokens.data(),
                         static_cast<std::int32_t>(tokens.size()), add_special, parse_special);
      if (n >= 0) {
        tokens.resize(static_cast<std::size_t>(n));
        return tokens;
      }
      if (n == std::numeric_limits<std::int32_t>::min()) break;
      tokens.resize(static_cast<std::size_t>(-static_cast<std::int64_t>(n)));
    }
    return Error{Code::kInternal, "the tokenizer does not agree with itself about the length"};
  } catch (const std::exception& e) {
    return Error{Code::kEngineFailed, std::string("the tokenizer failed: ") + e.what()};
  }
}

std::string piece_of(const llama_vocab* vocab, Token token, bool special) {
  if (token < 0 || token >= llama_vocab_n_tokens(vocab)) return "";
  try {
    std::string text(32, '\0');
    for (int attempt = 0; attempt < 2; ++attempt) {
      const std::int32_t n = llama_token_to_piece(
          vocab, token, text.data(), static_cast<std::int32_t>(text.size()), 0, special);
      if (n >= 0) {
        text.resize(static_cast<std::size_t>(n));
        return text;
      }
      text.resize(static_cast<std::size_t>(-n));
    }
  } catch (const std::exception&) {
    // A token without text: nothing to show.
  }
  return "";
}

ControlTokens::ControlTokens(const llama_vocab* vocab) : vocab_(vocab), nodes_(1) {
  const Token count = llama_vocab_n_tokens(vocab);
  for (Token token = 0; token < count; ++token) {
    // These are the ones that llama_tokenize reads only with parse_special. It reads user-defined
    // ones always; they are part of the text.
    const auto attributes = static_cast<unsigned>(llama_vocab_get_attr(vocab, token));
    if ((attributes & (LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_UNKNOWN)) == 0) continue;
    const char* text = llama_vocab_get_text(vocab, token);
    if (text != nullptr && *text != '\0') insert(text, token);
  }
}

void ControlTokens::insert(std::string_view text, Token token) {
  std::uint32_t at = 0;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    auto& children = nodes_[at].children;
    auto it = std::lower_bound(children.begin(), children.end(), byte,
                               [](const auto& child, unsigned char b) { return child.first < b; });
    if (it == children.end() || it->first != byte) {
      const auto added = static_cast<std::uint32_t>(nodes_.size());
      children.insert(it, {byte, added});
      nodes_.emplace_back();  // invalidates `children`
      at = added;
    } else {
      at = it->second;
    }
  }
  nodes_[at].token = token;
}

ControlTokens::Match ControlTokens::longest_at(std::string_view text) const {
  Match best;
  std::uint32_t at = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto& children = nodes_[at].children;
    const auto it =
        std::lower_bound(children.begin(), children.end(), byte,
                         [](const auto& child, unsigned char b) { return child.first < b; });
    if (it == children.end() || it->first != byte) break;
    at = it->second;
    if (nodes_[at].token >= 0) best = {nodes_[at].token, i + 1};
  }
  return best;
}

bool ControlTokens::touches_input(const std::vector<PromptPart>& parts) const {
  std::string text;
  std::vector<bool> input;
  for (const PromptPart& part : parts) {
    text += part.text;
    input.insert(input.end(), part.text.size(), part.is_input);
  }
  for (std::size_t i = 0; i < text.size(); ++i) {
    const Match match = longest_at(std::string_view(text).substr(i));
    for (std::size_t k = 0; k < match.size; ++k) {
      if (input[i + k]) return true;
    }
  }
  return false;
}

Result<std::vector<Token>> ControlTokens::tokenize(const std::vector<PromptPart>& parts) const {
  std::vector<Token> out;
  if (llama_vocab_get_add_bos(vocab_)) out.push_back(llama_vocab_bos(vocab_));
  std::string plain;  // text between two control tokens, whoever wrote it
  bool strip_next = false;
  const auto flush = [&](bool strip_end) -> Status {
    std::string_view text = plain;
    while (strip_next && !text.empty() && is_space(text.front())) text.remove_prefix(1);
    while (strip_end && !text.empty() && is_space(text.back())) text.remove_suffix(1);
    if (!text.empty()) {
      AIOSS_TRY(const auto tokens, tokenize_text(vocab_, text, false, false));
      out.insert(out.end(), tokens.begin(), tokens.end());
    }
    plain.clear();
    return ok();
  };
  for (const PromptPart& part : parts) {
    if (part.is_input) {
      plain += part.text;
      continue;
    }
    for (std::size_t i = 0; i < part.text.size();) {
      const Match match = longest_at(std::string_view(part.text).substr(i));
      if (match.token < 0) {
        plain += part.text[i++];
        continue;
      }
      const auto attributes = static_cast<unsigned>(llama_vocab_get_attr(vocab_, match.token));
      AIOSS_CHECK(flush((attributes & LLAMA_TOKEN_ATTR_LSTRIP) != 0));
      out.push_back(match.token);
      strip_next = (attributes & LLAMA_TOKEN_ATTR_RSTRIP) != 0;
      i += match.size;
    }
  }
  AIOSS_CHECK(flush(false));
  if (llama_vocab_get_add_eos(vocab_)) out.push_back(llama_vocab_eos(vocab_));
  return out;
}

}  // namespace aioss::engines::llama
