#include "worker/random.h"

#include <gtest/gtest.h>

#include <set>

namespace aioss::worker {
namespace {

// kat_vectors of Random123 1.14.0, "philox4x32 10".
TEST(Philox, PublishedVectors) {
  EXPECT_EQ(philox4x32_10({0, 0, 0, 0}, {0, 0}),
            (PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const std::uint32_t ones = 0xffffffff;
  EXPECT_EQ(philox4x32_10({ones, ones, ones, ones}, {ones, ones}),
            (PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(
      philox4x32_10({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
      (PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Uniform, EveryPartOfTheKeyMatters) {
  const std::set<double> values = {uniform({1, 2, 3, 4}),          uniform({2, 2, 3, 4}),
                                   uniform({1ULL << 32, 2, 3, 4}), uniform({1, 3, 3, 4}),
                                   uniform({1, 2, 4, 4}),          uniform({1, 2, 3, 5})};
  EXPECT_EQ(values.size(), 6U);
  EXPECT_EQ(uniform({1, 2, 3, 4}), uniform({1, 2, 3, 4}));
}

TEST(Uniform, FillsTheUnitIntervalEvenly) {
  constexpr int kBins = 64;
  constexpr int kDraws = 64000;
  int bins[kBins] = {};
  for (std::uint32_t i = 0; i < kDraws; ++i) {
    const double value = uniform({99, 0, i, 0});
    ASSERT_GE(value, 0.0);
    ASSERT_LT(value, 1.0);
    ++bins[static_cast<int>(value * kBins)];
  }
  double chi_square = 0;
  for (const int count : bins) chi_square += (count - 1000.0) * (count - 1000.0) / 1000.0;
  EXPECT_LT(chi_square, 103.4);  // 63 degrees of freedom, 0.1 %
}

}  // namespace
}  // namespace aioss::worker
