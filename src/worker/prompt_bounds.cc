#include "worker/prompt_bounds.h"

#include <algorithm>
#include <string>

#include "base/assert.h"

namespace aioss::worker {
namespace {

// For what is below the matcher on the stack, and the margin of a thread.
constexpr std::size_t kStackSpareBytes = std::size_t{1} << 20;
static_assert(kStackSpareBytes < kTextStackBytesMin);

bool is_blank(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

}  // namespace

PromptBounds::PromptBounds(std::uint32_t cells_per_stream, std::size_t token_bytes_max)
    : cells_(cells_per_stream), token_bytes_max_(token_bytes_max) {
  ASSERT(token_bytes_max > 0);
  // Either factor alone may reach the most: their product is not formed before they are small.
  const std::uint64_t most = kTextStackBytesMax / kStackBytesPerByte;
  const std::uint64_t bytes =
      std::min(cells_, most) * std::min<std::uint64_t>(token_bytes_max, most);
  stack_bytes_ = std::clamp(std::min(bytes, most) * kStackBytesPerByte + kStackSpareBytes,
                            kTextStackBytesMin, kTextStackBytesMax);
}

Status PromptBounds::check(std::string_view text, std::string_view field) const {
  const std::uint64_t tokens_least = (text.size() + token_bytes_max_ - 1) / token_bytes_max_;
  if (tokens_least >= cells_) {
    return Error{Code::kContextExceeded,
                 "the prompt has at least " + std::to_string(tokens_least) +
                     " tokens and the context holds " + std::to_string(cells_) +
                     "; shorten the prompt",
                 std::string(field)};
  }
  const std::size_t unbroken_max =
      (stack_bytes_ - std::min(stack_bytes_, kStackSpareBytes)) / kStackBytesPerByte;
  if (text.size() <= unbroken_max) return ok();  // nearly always
  if (const std::size_t unbroken = unbroken_bytes(text); unbroken > unbroken_max) {
    return Error{Code::kTooLarge,
                 "a part of the prompt has " + std::to_string(unbroken) +
                     " bytes without a line break, and at most " + std::to_string(unbroken_max) +
                     " can be tokenized in one piece; break it into lines",
                 std::string(field)};
  }
  return ok();
}

namespace {

// Of what stands first on a line: whether no pattern of a tokenizer reaches it from the line
// before. They run over blanks, Unicode's too, and some over '/'.
bool begins_a_word(std::string_view text) {
  constexpr std::string_view kUnicodeBlanks[] = {"\xC2\x85", "\xC2\xA0", "\xE1\x9A",
                                                 "\xE2\x80", "\xE2\x81", "\xE3\x80"};
  const char c = text.front();
  if (static_cast<unsigned char>(c) < 0x80) return c > ' ' && c < '\x7F' && c != '/';
  return std::none_of(std::begin(kUnicodeBlanks), std::end(kUnicodeBlanks),
                      [&](std::string_view blank) { return text.starts_with(blank); });
}

}  // namespace

std::size_t unbroken_bytes(std::string_view text) {
  std::size_t longest = 0, from = 0;
  bool line_ended = false;  // and only blanks since
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (is_blank(c)) {
      line_ended = line_ended || c == '\n' || c == '\r';
      continue;
    }
    if (line_ended && begins_a_word(text.substr(i))) {
      longest = std::max(longest, i - from);
      from = i;
    }
    line_ended = false;
  }
  return std::max(longest, text.size() - from);
}

}  // namespace aioss::worker
