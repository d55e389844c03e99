// A QR code drawn: for a terminal, and as a PNG file. Pure functions.
#pragma once

#include <cstddef>
#include <string>

#include "base/bytes.h"
#include "cli/qr_code.h"

namespace aioss::cli {

inline constexpr std::size_t kQuietModules = 4;  // around the code; ISO/IEC 18004 asks for it

enum class QrInk {
  kColor,  // black on white, by escape sequences
  kLight,  // blocks are light: a terminal without colour, light text on dark ground
  kDark,   // blocks are dark: a file or a printer
};
// Two modules a character, one above the other, with the quiet zone. Lines end in a line feed.
std::string draw_qr(const QrCode& code, QrInk ink);
inline std::size_t qr_columns(const QrCode& code) {
  return code.modules + 2 * kQuietModules;
}

// A black and white PNG (ISO/IEC 15948) of at least 400 pixels a side. Not compressed: a code of a
// checkpoint takes about 40 kB.
Bytes qr_png(const QrCode& code);

}  // namespace aioss::cli
