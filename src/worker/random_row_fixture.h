// Test-only: a row of logits as a model might have them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace aioss::worker {

inline std::vector<float> random_row(std::size_t size, std::uint32_t seed, float spread = 3.0F) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, spread);
  std::vector<float> row(size);
  for (float& x : row) x = normal(random);
  return row;
}

}  // namespace aioss::worker
