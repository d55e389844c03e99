// Small text helpers that do not depend on the locale. Pure functions; hexadecimal lives in codec.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace aioss {

std::string_view trim(std::string_view text);  // ASCII white space, both ends
// Always at least one part: "" gives {""}, "a,,b" gives {"a", "", "b"}.
std::vector<std::string_view> split(std::string_view text, char separator);
std::string ascii_lower(std::string_view text);
// Of texts: "a, b, c".
template <typename Texts>
std::string comma_separated(const Texts& texts) {
  std::string out;
  for (const std::string_view text : texts) {
    if (!out.empty()) out += ", ";
    out += text;
  }
  return out;
}

// Digits only: no sign, no space, no overflow, no trailing text.
std::optional<std::uint64_t> parse_u64(std::string_view text);

// The text as one line that cannot move a terminal's cursor or forge a second line: control
// characters become \n, \t, \r or \xNN. Bytes of 0x80 and above pass; UTF-8 stays readable.
std::string one_line(std::string_view text);

// The text with every byte that is not part of well-formed UTF-8 (no surrogates, no overlong forms)
// replaced by U+FFFD.
std::string replace_invalid_utf8(std::string_view text);

// A size as people write it: "8GiB", "512 MB", "1024": a whole number and one of B, kB, MB, GB, TB
// (powers of 1000), KiB, MiB, GiB, TiB or k, M, G, T (of 1024). Nothing if it is none, or more than
// 64 bits hold.
std::optional<std::uint64_t> parse_bytes(std::string_view text);

// "98.4 MB", "512 B": powers of 1000, three digits at most.
std::string human_bytes(std::uint64_t bytes);

}  // namespace aioss
