// Chance that comes from a seed and is the same on every machine: splitmix64 (Steele, Lea, Flood,
// OOPSLA 2014). One for each purpose, so that a change in one does not shift the others.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "base/assert.h"
#include "crypto/random.h"

namespace aioss::sim {

class Dice final {
 public:
  Dice(std::uint64_t seed, std::uint64_t purpose) : state_(seed * 0x2545F4914F6CDD1DU + purpose) {
    next();
  }

  std::uint64_t next() {
    std::uint64_t x = state_ += 0x9E3779B97F4A7C15U;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
    return x ^ (x >> 31);
  }
  std::uint64_t below(std::uint64_t n) {
    ASSERT(n > 0);
    return next() % n;
  }
  std::int64_t between(std::int64_t low, std::int64_t high) {  // both included
    return low + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(high - low) + 1));
  }
  std::uint32_t size(std::uint32_t low, std::uint32_t high) {
    return static_cast<std::uint32_t>(between(low, high));
  }
  bool percent(unsigned chance) { return below(100) < chance; }

 private:
  std::uint64_t state_;
};

class SeededRandom final : public crypto::Random {
 public:
  explicit SeededRandom(std::uint64_t seed) : dice_(seed, 0x72616E64) {}
  void fill(std::span<std::uint8_t> out) override {
    for (std::uint8_t& byte : out) byte = static_cast<std::uint8_t>(dice_.next());
  }

 private:
  Dice dice_;
};

}  // namespace aioss::sim
