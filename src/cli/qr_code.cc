#include "cli/qr_code.h"

#include <qrcodegen/qrcodegen.h>

#include <algorithm>
#include <string>

#include "base/bytes.h"

namespace aioss::cli {

Result<QrCode> make_qr_code(std::string_view bytes) {
  if (bytes.empty() || bytes.size() > kQrBytesMax) {
    return Error{Code::kTooLarge, "a QR code holds at most " + std::to_string(kQrBytesMax) +
                                      " bytes, and these are " + std::to_string(bytes.size())};
  }
  Bytes work(qrcodegen_BUFFER_LEN_MAX), code(qrcodegen_BUFFER_LEN_MAX);
  const auto encode = [&](qrcodegen_Ecc level) {
    std::copy(bytes.begin(), bytes.end(), work.begin());  // it is overwritten
    return qrcodegen_encodeBinary(work.data(), bytes.size(), code.data(), level,
                                  qrcodegen_VERSION_MIN, qrcodegen_VERSION_MAX, qrcodegen_Mask_AUTO,
                                  true);
  };
  if (!encode(qrcodegen_Ecc_MEDIUM) && !encode(qrcodegen_Ecc_LOW)) {
    return Error{Code::kTooLarge, "no QR code is large enough"};
  }
  const int side = qrcodegen_getSize(code.data());
  QrCode out;
  out.modules = static_cast<std::size_t>(side);
  out.dark.reserve(out.modules * out.modules);
  for (int row = 0; row < side; ++row) {
    for (int column = 0; column < side; ++column) {
      out.dark.push_back(qrcodegen_getModule(code.data(), column, row));
    }
  }
  return out;
}

}  // namespace aioss::cli
