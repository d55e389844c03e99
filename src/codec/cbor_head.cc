#include "codec/cbor_head.h"

namespace aioss::codec {

std::string_view read_long_argument(ByteView bytes, std::size_t& at, std::uint64_t& argument) {
  if (argument > 27) return "indefinite or reserved length";
  const std::size_t width = std::size_t{1} << (argument - 24);
  if (bytes.size() - at < width) return "ends early";
  argument = 0;
  for (const std::uint8_t byte : bytes.subspan(at, width)) argument = argument << 8U | byte;
  at += width;
  const bool shortest = width == 1 ? argument >= 24 : (argument >> (4 * width)) != 0;
  return shortest ? "" : "not the shortest form";
}

}  // namespace aioss::codec
