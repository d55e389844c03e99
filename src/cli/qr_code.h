// QR codes: the only place that knows libqrcodegen. A value; pure functions.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace aioss::cli {

// What the largest code holds, with the least correction of errors.
inline constexpr std::size_t kQrBytesMax = 2'953;

struct QrCode {
  std::size_t modules = 0;  // in a row and in a column, without the quiet zone
  std::vector<bool> dark;   // row by row

  // Everything outside is the quiet zone, which is light.
  bool is_dark(std::size_t row, std::size_t column) const {
    return row < modules && column < modules && dark[row * modules + column];
  }
};

// Of these very bytes. A seventh of the code or more may be unreadable; less if the bytes would not
// fit otherwise. kTooLarge over kQrBytesMax.
Result<QrCode> make_qr_code(std::string_view bytes);

}  // namespace aioss::cli
