#include "cli/qr_code.h"

#include <qrencode.h>

#include <memory>
#include <string>

namespace aioss::cli {
namespace {

struct FreeCode {
  void operator()(QRcode* code) const { QRcode_free(code); }
};
using Encoded = std::unique_ptr<QRcode, FreeCode>;

// Null if the bytes do not fit a code of this level, or there is no memory.
Encoded encode(std::string_view bytes, QRecLevel level) {
  constexpr int kSmallestThatFits = 0;
  return Encoded(QRcode_encodeData(static_cast<int>(bytes.size()),
                                 reinterpret_cast<const unsigned char*>(bytes.data()),
                                 kSmallestThatFits, level));
}

}  // namespace

Result<QrCode> make_qr_code(std::string_view bytes) {
  if (bytes.empty() || bytes.size() > kQrBytesMax) {
    return Error{Code::kTooLarge, "a QR code holds at most " + std::to_string(kQrBytesMax) +
                                      " bytes, and these are " + std::to_string(bytes.size())};
  }
  Encoded code = encode(bytes, QR_ECLEVEL_M);
  if (!code) code = encode(bytes, QR_ECLEVEL_L);
  if (!code) return Error{Code::kNoMemory, "the QR code could not be made"};
  QrCode out;
  out.modules = static_cast<std::size_t>(code->width);
  out.dark.resize(out.modules * out.modules);
  for (std::size_t i = 0; i < out.dark.size(); ++i) out.dark[i] = (code->data[i] & 1U) != 0;
  return out;
}

}  // namespace aioss::cli
