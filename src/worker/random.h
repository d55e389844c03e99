// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel Random Numbers: As Easy as 1, 2, 3", SC
// 2011): a counter-based generator. A number is a pure function of key and counter, so that the
// draw for a token depends on (seed, choice, position, draw) and on nothing that happened before.
// Pure functions.
#pragma once

#include <array>
#include <cstdint>

namespace aioss::worker {

using PhiloxCounter = std::array<std::uint32_t, 4>;
using PhiloxKey = std::array<std::uint32_t, 2>;

PhiloxCounter philox4x32_10(PhiloxCounter counter, PhiloxKey key);

// What a draw is keyed by. `draw` counts draws for the same token (today there is one, number 0).
struct DrawKey {
  std::uint64_t seed = 0;
  std::uint32_t choice = 0;
  std::uint32_t position = 0;
  std::uint32_t draw = 0;
};

// Uniform in [0, 1), a multiple of 2^-53.
double uniform(const DrawKey& key);

}  // namespace aioss::worker
