#include "crypto/random.h"

#include <algorithm>
#include <cstddef>

#include <openssl/rand.h>

#include "crypto/openssl.h"

namespace aioss::crypto {

void SystemRandom::fill(std::span<std::uint8_t> out) {
  constexpr std::size_t kPartMax = 1U << 20;  // RAND_bytes counts in int
  initialize_openssl();
  while (!out.empty()) {
    const std::size_t part = std::min(out.size(), kPartMax);
    ASSERT(RAND_bytes(out.data(), static_cast<int>(part)) == 1);
    out = out.subspan(part);
  }
}

}  // namespace aioss::crypto
