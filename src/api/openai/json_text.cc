#include "api/openai/json_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>

#include "codec/utf8.h"

namespace aioss::api::openai {
namespace {

constexpr std::size_t kNumberBytesMax = 32;  // longest float or 64-bit integer, with room

template <typename Number>
void append_number(std::string& out, Number number) {
  std::array<char, kNumberBytesMax> buffer;
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), number);
  out.append(buffer.data(), result.ptr);
}

bool is_plain(unsigned char c) {
  return c >= 0x20 && c != '"' && c != '\\';
}

void append_escape(std::string& out, unsigned char c) {
  constexpr std::string_view kHex = "0123456789abcdef";
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      break;
  }
  out += "\\u00";
  out += kHex[c >> 4];
  out += kHex[c & 0xF];
}

}  // namespace

void append_string(std::string& out, std::string_view text) {
  if (!codec::is_utf8(text)) return append_string(out, codec::utf8_repaired(text));
  out += '"';
  while (!text.empty()) {
    const auto special = std::find_if_not(
        text.begin(), text.end(), [](char c) { return is_plain(static_cast<unsigned char>(c)); });
    out.append(text.begin(), special);
    if (special == text.end()) break;
    append_escape(out, static_cast<unsigned char>(*special));
    text.remove_prefix(static_cast<std::size_t>(special - text.begin()) + 1);
  }
  out += '"';
}

void append_unsigned(std::string& out, std::uint64_t number) {
  append_number(out, number);
}
void append_signed(std::string& out, std::int64_t number) {
  append_number(out, number);
}

void append_logprob(std::string& out, float number) {
  if (!std::isfinite(number)) return append_number(out, kLogprobFloor);
  append_number(out, number);
}

void append_bool(std::string& out, bool value) {
  out += value ? "true" : "false";
}

}  // namespace aioss::api::openai
