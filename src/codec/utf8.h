// UTF-8 as RFC 3629 has it: no surrogates, nothing above U+10FFFF, no overlong forms. Tokens of a
// vocabulary are byte strings that may end inside a character; the splitter keeps such bytes back
// until the rest arrives, so that no event ever holds half a character. Pure functions; a splitter
// belongs to one thread at a time.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace aioss::codec {

// Offset of the first byte that is not part of a valid character; text.size() if all is well.
std::size_t utf8_valid_prefix(std::string_view text);
inline bool is_utf8(std::string_view text) {
  return utf8_valid_prefix(text) == text.size();
}

// How many leading bytes can be handed on: all of them, unless the last one to three are the
// beginning of a character that more bytes could complete. Invalid bytes count as whole: they never
// get better.
std::size_t utf8_whole_prefix(std::string_view text);

// Each maximal invalid part becomes U+FFFD, as the Unicode standard recommends.
std::string utf8_repaired(std::string_view text);

class Utf8Splitter final {
 public:
  // What can be handed on now, repaired.
  std::string push(std::string_view bytes);
  // What was kept back; if it never became a character, U+FFFD.
  std::string finish();
  std::size_t held_bytes() const { return held_.size(); }  // 0 … 3

 private:
  std::string held_;
};

}  // namespace aioss::codec
