#include "crypto/secret_key.h"

#include <algorithm>

#include <openssl/crypto.h>

#include "base/assert.h"

namespace aioss::crypto {

void wipe(std::span<std::uint8_t> bytes) {
  OPENSSL_cleanse(bytes.data(), bytes.size());
}

SecretKey::SecretKey(ByteView bytes) {
  ASSERT(bytes.size() == kBytes);
  std::copy(bytes.begin(), bytes.end(), bytes_.begin());
}

SecretKey SecretKey::generate(Random& random) {
  SecretKey key;
  random.fill(key.bytes_);
  return key;
}

}  // namespace aioss::crypto
