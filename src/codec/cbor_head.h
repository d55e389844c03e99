// The head that every CBOR item begins with (RFC 8949 section 3), as far as the canonical subset
// allows it. Private to src/codec: what builds values and what only checks them read it here, so
// that they cannot disagree. Pure function.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>

#include "base/bytes.h"

namespace aioss::codec {

// The major types that the subset uses.
enum Major : std::uint8_t {
  kUnsigned = 0,
  kNegative = 1,
  kByteString = 2,
  kTextString = 3,
  kArray = 4,
  kMap = 5,
  kSimple = 7,
};
inline constexpr std::uint8_t kFalse = 0xF4, kTrue = 0xF5;

// A negative integer is stored as n = −1 − value; the largest n of a value of 64 bits.
inline constexpr auto kCborNegativeMost =
    static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());

struct Head {
  std::uint8_t major = 0;
  std::uint64_t argument = 0;
};

// Reads the head at `at` and goes behind it. What is wrong with it, or nothing: then it is in
// shortest form, and of a major type and simple value of the subset.
inline std::string_view read_head(ByteView bytes, std::size_t& at, Head& head) {
  if (at == bytes.size()) return "ends early";
  const std::uint8_t lead = bytes[at++];
  head = {static_cast<std::uint8_t>(lead >> 5U), static_cast<std::uint64_t>(lead & 0x1FU)};
  if (head.major == 6) return "tags are not allowed";
  if (head.major == kSimple) {
    return lead == kFalse || lead == kTrue ? "" : "only false and true are allowed";
  }
  if (head.argument < 24) return {};
  if (head.argument > 27) return "indefinite or reserved length";
  const std::size_t width = std::size_t{1} << (head.argument - 24);
  if (bytes.size() - at < width) return "ends early";
  std::uint64_t argument = 0;
  for (std::size_t i = 0; i < width; ++i) argument = argument << 8U | bytes[at++];
  const bool shortest = width == 1 ? argument >= 24 : (argument >> (4 * width)) != 0;
  if (!shortest) return "not the shortest form";
  head.argument = argument;
  return {};
}

}  // namespace aioss::codec
