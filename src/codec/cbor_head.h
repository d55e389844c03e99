// The head that every CBOR item begins with (RFC 8949 section 3), as far as the canonical subset
// allows it. Private to src/codec: what builds values and what only checks them read it here, so
// that they cannot disagree. Pure functions.
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

// The argument that follows a first byte which says 24 or more.
std::string_view read_long_argument(ByteView bytes, std::size_t& at, std::uint64_t& argument);

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
  if (head.argument < 24) return {};  // most heads
  return read_long_argument(bytes, at, head.argument);
}

}  // namespace aioss::codec
