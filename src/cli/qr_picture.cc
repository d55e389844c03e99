#include "cli/qr_picture.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace aioss::cli {
namespace {

// A place in the picture as one in the code; in the quiet zone one that is_dark() calls outside.
std::size_t inside(std::size_t at) {
  return at - kQuietModules;  // wraps around in the quiet zone before the code
}

constexpr std::string_view kBlackOnWhite = "\x1b[38;5;16;48;5;231m", kPlain = "\x1b[0m";

// Both halves of a character, true where the block is drawn.
std::string_view half_blocks(bool upper, bool lower) {
  if (upper && lower) return "█";
  if (upper) return "▀";
  return lower ? "▄" : " ";
}

// CRC-32 of PNG: reflected polynomial 0xEDB88320.
constexpr std::array<std::uint32_t, 256> kCrcTable = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < table.size(); ++i) {
    std::uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1U) ^ ((value & 1U) * 0xEDB88320U);
    table[i] = value;
  }
  return table;
}();

std::uint32_t crc32(ByteView bytes) {
  std::uint32_t value = ~0U;
  for (const std::uint8_t byte : bytes) value = kCrcTable[(value ^ byte) & 0xFFU] ^ (value >> 8U);
  return ~value;
}

std::uint32_t adler32(ByteView bytes) {
  constexpr std::uint32_t kModulus = 65'521;
  std::uint32_t a = 1, b = 0;
  for (const std::uint8_t byte : bytes) {
    a = (a + byte) % kModulus;
    b = (b + a) % kModulus;
  }
  return (b << 16U) | a;
}

void put_u32(std::uint32_t value, Bytes& out) {
  for (const unsigned shift : {24U, 16U, 8U, 0U}) {
    out.push_back(static_cast<std::uint8_t>(value >> shift));
  }
}

void put_chunk(std::string_view type, ByteView data, Bytes& out) {
  put_u32(static_cast<std::uint32_t>(data.size()), out);
  const std::size_t begin = out.size();
  out.insert(out.end(), type.begin(), type.end());
  out.insert(out.end(), data.begin(), data.end());
  put_u32(crc32(ByteView(out).subspan(begin)), out);
}

// zlib (RFC 1950) with stored blocks only (RFC 1951 section 3.2.4).
Bytes stored(ByteView bytes) {
  constexpr std::size_t kBlockBytesMax = 65'535;
  Bytes out{0x78, 0x01};
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t size = std::min(kBlockBytesMax, bytes.size() - at);
    out.push_back(at + size == bytes.size() ? 1 : 0);
    for (const std::size_t word : {size, ~size}) {
      out.push_back(static_cast<std::uint8_t>(word));
      out.push_back(static_cast<std::uint8_t>(word >> 8U));
    }
    const ByteView block = bytes.subspan(at, size);
    out.insert(out.end(), block.begin(), block.end());
    at += size;
  }
  put_u32(adler32(bytes), out);
  return out;
}

// One bit a pixel, 1 is white; each row begins with its filter, none.
Bytes pixels(const QrCode& code, std::size_t scale) {
  const std::size_t side = qr_columns(code) * scale;
  Bytes out;
  for (std::size_t y = 0; y < side; ++y) {
    const std::size_t row = out.size() + 1;
    out.resize(row + (side + 7) / 8);
    for (std::size_t x = 0; x < side; ++x) {
      if (code.is_dark(inside(y / scale), inside(x / scale))) continue;
      std::uint8_t& eight = out[row + x / 8];
      eight = static_cast<std::uint8_t>(eight | (0x80U >> (x % 8)));
    }
  }
  return out;
}

}  // namespace

std::string draw_qr(const QrCode& code, QrInk ink) {
  const std::size_t side = qr_columns(code);
  const bool dark_blocks = ink != QrInk::kLight;
  std::string out;
  for (std::size_t row = 0; row < side; row += 2) {
    if (ink == QrInk::kColor) out += kBlackOnWhite;
    for (std::size_t column = 0; column < side; ++column) {
      const bool upper = code.is_dark(inside(row), inside(column));
      // Below the last row there is nothing; on paper nothing is light.
      const bool lower = code.is_dark(inside(row + 1), inside(column));
      out += half_blocks(upper == dark_blocks, lower == dark_blocks);
    }
    if (ink == QrInk::kColor) out += kPlain;
    out += '\n';
  }
  return out;
}

Bytes qr_png(const QrCode& code) {
  constexpr std::size_t kPixelsMin = 400, kScaleMin = 4;
  const std::size_t scale = std::max(kScaleMin, (kPixelsMin - 1) / qr_columns(code) + 1);
  const auto side = static_cast<std::uint32_t>(qr_columns(code) * scale);
  Bytes header;
  put_u32(side, header);
  put_u32(side, header);
  header.insert(header.end(), {1, 0, 0, 0, 0});  // 1 bit, grey, nothing special
  Bytes out{0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  put_chunk("IHDR", header, out);
  put_chunk("IDAT", stored(pixels(code, scale)), out);
  put_chunk("IEND", {}, out);
  return out;
}

}  // namespace aioss::cli
