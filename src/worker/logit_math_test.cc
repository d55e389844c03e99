#include "worker/logit_math.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "worker/random_row_fixture.h"

namespace aioss::worker {
namespace {

const std::vector<std::size_t> kSizes = {1, 2, 3, 5, 63, 64, 65, 127, 128, 129, 264, 1000, 49152};

TEST(Scan, FindsTheMaximumAtEveryPlace) {
  for (const std::size_t size : kSizes) {
    std::vector<float> row = random_row(size, 1);
    RowScan scanned;
    for (std::size_t at = 0; at < size; at += 1 + size / 300) {
      const float before = row[at];
      row[at] = 100.0F;
      scan(row, scanned);
      EXPECT_TRUE(scanned.sound);
      EXPECT_EQ(scanned.maximum, 100.0F);
      EXPECT_EQ(argmax(row, scanned), at) << size;
      row[at] = before;
    }
  }
}

TEST(Scan, TheLowestIdWinsTies) {
  for (const std::size_t size : {std::size_t{70}, std::size_t{4096}}) {
    std::vector<float> row(size, 1.0F);
    RowScan scanned;
    scan(row, scanned);
    EXPECT_EQ(argmax(row, scanned), 0U);
    row[0] = 0.5F;
    row[1] = 0.5F;
    scan(row, scanned);
    EXPECT_EQ(argmax(row, scanned), 2U);
  }
}

TEST(Scan, NansAndPlusInfinityAreSeenAtEveryPlace) {
  for (const std::size_t size : {std::size_t{130}, std::size_t{64}, std::size_t{7}}) {
    for (const float bad : {std::nanf(""), -std::nanf(""), INFINITY}) {
      for (std::size_t at = 0; at < size; ++at) {
        std::vector<float> row = random_row(size, 2);
        row[at] = bad;
        RowScan scanned;
        scan(row, scanned);
        EXPECT_FALSE(scanned.sound) << size << " " << at;
      }
    }
  }
}

TEST(Scan, MinusInfinityIsAForbiddenToken) {
  std::vector<float> row(100, kMinusInfinity);
  RowScan scanned;
  scan(row, scanned);
  EXPECT_TRUE(scanned.sound);
  EXPECT_EQ(scanned.maximum, kMinusInfinity);
  row[77] = -1000.0F;
  scan(row, scanned);
  EXPECT_EQ(argmax(row, scanned), 77U);
}

TEST(Exponential, AgreesWithLibm) {
  for (double x = 0; x >= -86.9; x -= 0.00731) {
    const auto argument = static_cast<float>(x);
    const double expected = std::exp(static_cast<double>(argument));
    EXPECT_NEAR(static_cast<double>(exponential(argument)) / expected, 1.0, 2e-7) << x;
  }
  EXPECT_EQ(exponential(0.0F), 1.0F);
  EXPECT_EQ(exponential(-200.0F), 0.0F);
  EXPECT_EQ(exponential(kMinusInfinity), 0.0F);
}

TEST(Exponential, SumsAreRightForEverySize) {
  for (const std::size_t size : kSizes) {
    const std::vector<float> row = random_row(size, 3);
    const float maximum = *std::max_element(row.begin(), row.end());
    double expected = 0;
    for (const float x : row) expected += std::exp((static_cast<double>(x) - maximum) / 0.7F);
    Weights weights;
    exponentials(row, maximum, 0.7F, weights);
    EXPECT_NEAR(weights.total / expected, 1.0, 1e-6) << size;
    EXPECT_EQ(weights.values.size(), size);
    expected = 0;
    for (const float x : row) expected += std::exp(static_cast<double>(x) - maximum);
    EXPECT_NEAR(exponential_sum(row, maximum) / expected, 1.0, 1e-6) << size;
  }
}

TEST(Collect, TheLargestAreThoseOfAFullSort) {
  for (const std::size_t size : kSizes) {
    std::vector<float> row = random_row(size, 4);
    for (float& x : row) x = std::round(x * 4) / 4;  // many ties
    if (size > 10) row[size / 2] = kMinusInfinity;
    RowScan scanned;
    scan(row, scanned);
    std::vector<Candidate> sorted;
    for (std::uint32_t i = 0; i < size; ++i) {
      if (row[i] != kMinusInfinity) sorted.push_back({i, row[i]});
    }
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const Candidate& a, const Candidate& b) { return a.logit > b.logit; });
    for (const std::size_t count : {1UL, 2UL, 7UL, 40UL, 700UL, 5000UL, 60000UL}) {
      std::vector<Candidate> got;
      collect_largest(row, scanned, count, got);
      keep_largest(got, count);
      EXPECT_TRUE(std::is_sorted(got.begin(), got.end(),
                                 [](const auto& a, const auto& b) { return a.id < b.id; }));
      std::sort(got.begin(), got.end(), before);
      ASSERT_EQ(got.size(), std::min(count, sorted.size())) << size;
      for (std::size_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i].id, sorted[i].id) << size;
    }
  }
}

TEST(Collect, TheMassIsThatOfASortedWalk) {
  std::mt19937 random(5);
  for (const std::size_t size : {1UL, 2UL, 3UL, 10UL, 100UL, 3000UL}) {
    for (int round = 0; round < 30; ++round) {
      std::vector<Candidate> candidates;
      std::vector<float> weights;
      double total = 0;
      for (std::uint32_t i = 0; i < size; ++i) {
        const auto weight = static_cast<float>(random() % 16) / 16;  // exact sums, many ties
        candidates.push_back({i * 3, weight});
        weights.push_back(weight);
        total += static_cast<double>(weight);
      }
      const double mass = total * (round % 11) / 10;
      std::vector<Candidate> expected = candidates;
      std::sort(expected.begin(), expected.end(), before);
      double sum = 0;
      std::size_t keep = 0;
      while (keep < size && (keep == 0 || sum < mass)) {
        sum += static_cast<double>(expected[keep++].logit);
      }
      keep_mass(candidates, weights, mass);
      EXPECT_TRUE(std::is_sorted(candidates.begin(), candidates.end(),
                                 [](const auto& a, const auto& b) { return a.id < b.id; }));
      std::sort(candidates.begin(), candidates.end(), before);
      ASSERT_EQ(candidates.size(), keep) << size << " " << round;
      for (std::size_t i = 0; i < keep; ++i) ASSERT_EQ(candidates[i].id, expected[i].id);
    }
  }
}

TEST(Collect, TheMassOfAWholeRowIsThatOfASortedWalk) {
  for (const std::size_t size : {1UL, 5UL, 64UL, 100UL, 1000UL, 20000UL}) {
    for (const float temperature : {0.01F, 0.5F, 1.0F, 30.0F}) {
      std::vector<float> row = random_row(size, static_cast<std::uint32_t>(size));
      for (float& x : row) x = std::round(x * 8) / 8;
      row[size / 2] = kMinusInfinity;
      row[0] = 1.0F;
      RowScan scanned;
      scan(row, scanned);
      Weights weights;
      exponentials(row, scanned.maximum, temperature, weights);
      std::vector<Candidate> sorted;
      for (std::uint32_t i = 0; i < size; ++i) sorted.push_back({i, row[i]});
      std::sort(sorted.begin(), sorted.end(), before);
      for (const double fraction : {0.0, 0.01, 0.3, 0.8, 0.95, 0.9999}) {
        const double mass = fraction * weights.total;
        std::vector<Candidate> got;
        collect_mass(row, scanned, temperature, weights, mass, got);
        // Rounding may move the border by one of equal weight; no more.
        std::size_t keep = 0;
        for (double sum = 0; keep < size && (keep == 0 || sum < mass * (1 - 1e-12)); ++keep) {
          sum += static_cast<double>(weights.values[sorted[keep].id]);
        }
        ASSERT_GE(got.size() + 1, keep);
        ASSERT_LE(got.size(), keep + 1);
        EXPECT_TRUE(std::is_sorted(got.begin(), got.end(),
                                   [](const auto& a, const auto& b) { return a.id < b.id; }));
        std::sort(got.begin(), got.end(), before);
        for (std::size_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i].id, sorted[i].id);
      }
    }
  }
}

}  // namespace
}  // namespace aioss::worker
