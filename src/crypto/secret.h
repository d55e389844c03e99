// Bytes that must not outlive their use: keys and passphrases. Overwritten when the object goes or
// is replaced. Move only; whoever needs a second copy says so. One thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <utility>

#include "base/bytes.h"

namespace aioss::crypto {

// Overwrites, in a way that no compiler takes out.
void wipe(std::span<std::uint8_t> bytes);

class Secret final {
 public:
  Secret() = default;
  explicit Secret(Bytes bytes) : bytes_(std::move(bytes)) {}
  ~Secret() { wipe(bytes_); }
  Secret(Secret&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  Secret& operator=(Secret&& other) noexcept {
    if (this == &other) return *this;
    wipe(bytes_);
    bytes_ = std::exchange(other.bytes_, {});
    return *this;
  }
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;

  ByteView view() const { return bytes_; }
  bool empty() const { return bytes_.empty(); }
  Secret copy() const { return Secret(Bytes(bytes_)); }

 private:
  Bytes bytes_;
};

}  // namespace aioss::crypto
