// Random bytes of tests: 0, 1, 2 … and on, so that what is made of them is known. Not thread-safe.
#pragma once

#include <cstdint>
#include <span>

#include "crypto/random.h"

namespace aioss::crypto {

class CountingRandom final : public Random {
 public:
  void fill(std::span<std::uint8_t> out) override {
    for (std::uint8_t& byte : out) byte = next_++;
  }

 private:
  std::uint8_t next_ = 0;
};

}  // namespace aioss::crypto
