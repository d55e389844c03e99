// What the text of a prompt may be before it is tokenized. Two things are known from its bytes:
//
//  - that it cannot fit: no token is written with more bytes than the longest of the vocabulary;
//  - how deep the tokenizer recurses: for many families of models (tekken, gpt-4o, deepseek and
//    more) llama.cpp cuts a text up with the standard library's regular expressions, whose matcher
//    calls itself for each character of a match. No pattern of these has a match that goes on from
//    one line of words to the next, so the longest piece without a line break bounds it.
//
// A value; set_stack_bytes() before another thread reads it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace aioss::worker {

// A match of the patterns of the pinned llama.cpp took 320 bytes of stack for a character, on
// x86-64, whatever pattern it was; the rest is margin for other compilers.
inline constexpr std::size_t kStackBytesPerByte = 1024;
inline constexpr std::size_t kTextStackBytesMin = std::size_t{16} << 20;
inline constexpr std::size_t kTextStackBytesMax = std::size_t{1} << 30;

class PromptBounds final {
 public:
  PromptBounds(std::uint32_t cells_per_stream, std::size_t token_bytes_max);

  // Of the thread that tokenizes: enough for any prompt that can fit, in the bounds above.
  std::size_t stack_bytes() const { return stack_bytes_; }
  // It got another one.
  void set_stack_bytes(std::size_t bytes) { stack_bytes_ = bytes; }
  // `field` is the request's that the text comes from.
  Status check(std::string_view text, std::string_view field) const;

 private:
  std::uint64_t cells_;
  std::size_t token_bytes_max_;
  std::size_t stack_bytes_;
};

// The longest part of a text that lies between two line breaks. A break counts only before a
// visible ASCII character that is no slash: some patterns go on over line breaks and slashes.
std::size_t unbroken_bytes(std::string_view text);

}  // namespace aioss::worker
