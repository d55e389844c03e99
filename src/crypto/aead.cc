#include "crypto/aead.h"

#include <utility>

#include "crypto/openssl.h"
#include "crypto/secret.h"

namespace aioss::crypto {
namespace {

using CipherContext = std::unique_ptr<EVP_CIPHER_CTX, OpenSslDelete<EVP_CIPHER_CTX_free>>;

const EVP_CIPHER* cipher() {
  static const EVP_CIPHER* const fetched = [] {
    initialize_openssl();
    const EVP_CIPHER* found = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
    ASSERT(found != nullptr);
    return found;
  }();
  return fetched;
}

enum class Direction : int { kOpen = 0, kSeal = 1 };

CipherContext begin(Direction direction, const SecretKey& key, const GcmNonce& nonce,
                    ByteView associated) {
  CipherContext context(EVP_CIPHER_CTX_new());
  ASSERT(context != nullptr);
  ASSERT(EVP_CipherInit_ex2(context.get(), cipher(), key.view().data(), nonce.data(),
                            static_cast<int>(direction), nullptr) == 1);
  ASSERT(EVP_CIPHER_CTX_get_iv_length(context.get()) == static_cast<int>(nonce.size()));
  ASSERT(associated.size() <= kGcmTextBytesMax);
  int taken = 0;
  ASSERT(associated.empty() || EVP_CipherUpdate(context.get(), nullptr, &taken, associated.data(),
                                                static_cast<int>(associated.size())) == 1);
  return context;
}

// GCM gives out as many bytes as it takes.
void convert(EVP_CIPHER_CTX* context, ByteView from, std::uint8_t* to) {
  int written = 0;
  if (from.empty()) return;
  ASSERT(EVP_CipherUpdate(context, to, &written, from.data(), static_cast<int>(from.size())) == 1);
  ASSERT(written == static_cast<int>(from.size()));
}

}  // namespace

GcmNonce gcm_nonce(Random& random) {
  GcmNonce nonce;
  random.fill(nonce);
  return nonce;
}

Bytes gcm_seal(const SecretKey& key, const GcmNonce& nonce, ByteView text, ByteView associated) {
  ASSERT(text.size() <= kGcmTextBytesMax);
  const CipherContext context = begin(Direction::kSeal, key, nonce, associated);
  Bytes out(text.size() + kGcmTagBytes);
  convert(context.get(), text, out.data());
  int rest = 0;
  ASSERT(EVP_CipherFinal_ex(context.get(), out.data() + text.size(), &rest) == 1 && rest == 0);
  ASSERT(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, static_cast<int>(kGcmTagBytes),
                             out.data() + text.size()) == 1);
  return out;
}

Result<Bytes> gcm_open(const SecretKey& key, const GcmNonce& nonce, ByteView sealed,
                       ByteView associated) {
  const Error broken{Code::kCorrupt, "a sealed text does not open: it or its key was changed"};
  if (sealed.size() < kGcmTagBytes || sealed.size() > kGcmTextBytesMax + kGcmTagBytes) {
    return broken;
  }
  const ByteView text = sealed.first(sealed.size() - kGcmTagBytes);
  Bytes tag(sealed.begin() + static_cast<std::ptrdiff_t>(text.size()), sealed.end());
  const CipherContext context = begin(Direction::kOpen, key, nonce, associated);
  Bytes out(text.size());
  convert(context.get(), text, out.data());
  ASSERT(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, static_cast<int>(kGcmTagBytes),
                             tag.data()) == 1);
  int rest = 0;
  std::uint8_t none = 0;
  if (EVP_CipherFinal_ex(context.get(), &none, &rest) == 1) return out;
  wipe(out);
  return broken;
}

}  // namespace aioss::crypto
