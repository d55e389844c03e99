// Secret bytes that leave no copy behind in memory: wiped when they go. Values; a copy is one more
// to wipe, so pass them by reference.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "base/bytes.h"
#include "crypto/random.h"

namespace aioss::crypto {

// Zeros that the compiler does not leave out.
void wipe(std::span<std::uint8_t> bytes);

// 32 secret bytes: a key of AES-256 or of an HMAC.
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

// Bytes of any number, wiped when they go.
class SecretBytes final {
 public:
  explicit SecretBytes(Bytes bytes) : bytes_(std::move(bytes)) {}
  ~SecretBytes() { wipe(bytes_); }
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;

  ByteView view() const { return bytes_; }

 private:
  Bytes bytes_;
};

}  // namespace aioss::crypto
