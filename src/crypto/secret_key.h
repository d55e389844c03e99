// 32 secret bytes, a key of AES-256 or of an HMAC; wiped when they go. A value: a copy is one more
// to wipe, so pass it by reference.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "crypto/random.h"
#include "crypto/secret.h"

namespace aioss::crypto {

class SecretKey final {
 public:
  static constexpr std::size_t kBytes = 32;

  SecretKey() = default;               // zeros
  explicit SecretKey(ByteView bytes);  // kBytes of them; any other number is a bug
  static SecretKey generate(Random& random);
  ~SecretKey() { wipe(bytes_); }
  SecretKey(const SecretKey&) = default;
  SecretKey& operator=(const SecretKey&) = default;

  ByteView view() const { return bytes_; }

 private:
  std::array<std::uint8_t, kBytes> bytes_{};
};

}  // namespace aioss::crypto
