// Unpredictable bytes, behind an interface so that tests can fix them. Thread-safe.
#pragma once

#include <cstdint>
#include <span>

namespace aioss::crypto {

class Random {
 public:
  virtual ~Random() = default;
  virtual void fill(std::span<std::uint8_t> out) = 0;  // aborts if the system has no entropy
};

class SystemRandom final : public Random {
 public:
  void fill(std::span<std::uint8_t> out) override;
};

}  // namespace aioss::crypto
