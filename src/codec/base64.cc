#include "codec/base64.h"

#include <array>

namespace aioss::codec {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::array<std::int8_t, 256> make_reverse() {
  std::array<std::int8_t, 256> reverse{};
  reverse.fill(-1);
  for (std::size_t i = 0; i < kAlphabet.size(); ++i) {
    reverse[static_cast<unsigned char>(kAlphabet[i])] = static_cast<std::int8_t>(i);
  }
  return reverse;
}
constexpr std::array<std::int8_t, 256> kReverse = make_reverse();

Error malformed(std::string_view what) {
  return {Code::kInvalidArgument, "base64: " + std::string(what)};
}

}  // namespace

std::string to_base64(ByteView bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t left = bytes.size() - i;
    std::uint32_t group = static_cast<std::uint32_t>(bytes[i]) << 16U;
    if (left > 1) group |= static_cast<std::uint32_t>(bytes[i + 1]) << 8U;
    if (left > 2) group |= bytes[i + 2];
    text.push_back(kAlphabet[group >> 18U]);
    text.push_back(kAlphabet[group >> 12U & 63U]);
    text.push_back(left > 1 ? kAlphabet[group >> 6U & 63U] : '=');
    text.push_back(left > 2 ? kAlphabet[group & 63U] : '=');
  }
  return text;
}

Result<Bytes> from_base64(std::string_view text) {
  if (text.size() % 4 != 0) return malformed("length is not a multiple of 4");
  std::size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  const std::size_t digits = text.size() - padding;
  Bytes bytes;
  bytes.reserve(text.size() / 4 * 3);
  std::uint32_t group = 0;
  unsigned bits = 0;
  for (std::size_t i = 0; i < digits; ++i) {
    const std::int8_t value = kReverse[static_cast<unsigned char>(text[i])];
    if (value < 0) return malformed("character " + std::to_string(i) + " is not in the alphabet");
    group = group << 6U | static_cast<std::uint32_t>(value);
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes.push_back(static_cast<std::uint8_t>(group >> bits));
      group &= (1U << bits) - 1U;
    }
  }
  if (group != 0) return malformed("spare bits are not zero");
  return bytes;
}

}  // namespace aioss::codec
