#include "codec/utf8.h"

#include <cstdint>

namespace aioss::codec {
namespace {

// What the bytes at the start of a text are: a character, the beginning of one that ends too early,
// or nothing that could ever become one. `length` is of the character, or of the maximal invalid
// part.
struct Step {
  enum class Kind { kCharacter, kUnfinished, kInvalid } kind;
  std::size_t length;
};

// Table 3-7 of the Unicode standard: the first byte fixes the length and the range of the second.
Step step(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t first = byte(0);
  if (first < 0x80) return {Step::Kind::kCharacter, 1};
  std::size_t length = 0;
  if (first >= 0xC2 && first <= 0xDF) length = 2;
  if (first >= 0xE0 && first <= 0xEF) length = 3;
  if (first >= 0xF0 && first <= 0xF4) length = 4;
  if (length == 0) return {Step::Kind::kInvalid, 1};
  std::uint8_t low = 0x80;
  std::uint8_t high = 0xBF;
  if (first == 0xE0) low = 0xA0;   // else overlong
  if (first == 0xED) high = 0x9F;  // else a surrogate
  if (first == 0xF0) low = 0x90;   // else overlong
  if (first == 0xF4) high = 0x8F;  // else above U+10FFFF
  for (std::size_t i = 1; i < length; ++i) {
    if (i >= text.size()) return {Step::Kind::kUnfinished, i};
    if (byte(i) < low || byte(i) > high) return {Step::Kind::kInvalid, i};
    low = 0x80;
    high = 0xBF;
  }
  return {Step::Kind::kCharacter, length};
}

}  // namespace

std::size_t utf8_valid_prefix(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    if (static_cast<std::uint8_t>(text[at]) < 0x80) {  // most text, most of the time
      ++at;
      continue;
    }
    const Step next = step(text.substr(at));
    if (next.kind != Step::Kind::kCharacter) break;
    at += next.length;
  }
  return at;
}

std::size_t utf8_whole_prefix(std::string_view text) {
  // A character that is still unfinished began in the last three bytes: look for its first byte
  // there.
  for (std::size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const std::size_t start = text.size() - back;
    const auto byte = static_cast<std::uint8_t>(text[start]);
    if (byte >= 0x80 && byte <= 0xBF) continue;  // a continuation: its first byte is further left
    const bool unfinished = step(text.substr(start)).kind == Step::Kind::kUnfinished;
    return unfinished ? start : text.size();
  }
  return text.size();
}

std::string utf8_repaired(std::string_view text) {
  constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t good = utf8_valid_prefix(text);
    out.append(text.substr(0, good));
    text.remove_prefix(good);
    if (text.empty()) break;
    out.append(kReplacement);
    text.remove_prefix(step(text).length);
  }
  return out;
}

std::string Utf8Splitter::push(std::string_view bytes) {
  held_.append(bytes);
  const std::size_t whole = utf8_whole_prefix(held_);
  std::string out = utf8_repaired(std::string_view(held_).substr(0, whole));
  held_.erase(0, whole);
  return out;
}

std::string Utf8Splitter::finish() {
  std::string out = utf8_repaired(held_);
  held_.clear();
  return out;
}

}  // namespace aioss::codec
