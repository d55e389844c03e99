#include "worker/ngram_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace aioss::worker {
namespace {

std::size_t find_in(const std::vector<Token>& tokens) {
  NgramIndex index;
  index.catch_up(tokens);
  return index.find(tokens);
}

// The rule itself, in O(n): the longest of 4, 3, 2 that stood before, its newest place.
std::size_t plainly(std::span<const Token> tokens) {
  for (std::size_t n = std::min<std::size_t>(4, tokens.size()); n >= 2; --n) {
    for (std::size_t end = tokens.size() - 1; end >= n; --end) {
      if (std::equal(tokens.begin() + static_cast<std::ptrdiff_t>(end - n),
                     tokens.begin() + static_cast<std::ptrdiff_t>(end), tokens.last(n).begin())) {
        return end;
      }
    }
  }
  return 0;
}

TEST(NgramIndex, NothingIsFoundWhereNothingRepeats) {
  EXPECT_EQ(find_in({}), 0U);
  EXPECT_EQ(find_in({1}), 0U);
  EXPECT_EQ(find_in({1, 1}), 0U);
  EXPECT_EQ(find_in({1, 2, 3, 4, 5}), 0U);
  EXPECT_EQ(find_in({1, 2, 3, 9, 2}), 0U) << "one token is no n-gram";
}

TEST(NgramIndex, TheLongestWinsAndOfEqualsTheNewest) {
  EXPECT_EQ(find_in({1, 2, 7, 8, 1, 2}), 2U);
  EXPECT_EQ(find_in({1, 2, 7, 1, 2, 8, 1, 2}), 5U) << "the newest";
  EXPECT_EQ(find_in({5, 1, 2, 7, 6, 1, 2, 8, 5, 1, 2}), 3U) << "three rather than two";
  EXPECT_EQ(find_in({4, 5, 1, 2, 7, 9, 5, 1, 2, 8, 4, 5, 1, 2}), 4U) << "four rather than three";
  EXPECT_EQ(find_in({3, 3, 3}), 2U) << "they may overlap";
}

TEST(NgramIndex, IsTheRuleWhateverItIsCaughtUpWith) {
  for (std::uint32_t seed = 1; seed <= 20; ++seed) {
    std::mt19937 random(seed);
    std::vector<Token> tokens;
    NgramIndex index;
    std::uint32_t differ = 0;
    std::uint32_t looked = 0;
    for (int i = 0; i < 3000; ++i) {
      tokens.push_back(static_cast<Token>(random() % (2 + seed)));
      if (random() % 3 == 0) continue;  // several at once
      index.catch_up(tokens);
      const std::size_t found = index.find(tokens);
      ++looked;
      // Another n-gram may have taken a slot: then less is found, but nothing that is not there.
      if (found != plainly(tokens)) ++differ;
      if (found == 0) continue;
      ASSERT_LT(found, tokens.size());
      ASSERT_TRUE(std::equal(tokens.end() - 2, tokens.end(),
                             tokens.begin() + static_cast<std::ptrdiff_t>(found) - 2));
    }
    EXPECT_LT(differ * 4, looked) << "seed " << seed;
    EXPECT_LE(index.bytes(), tokens.size() * 32);
  }
}

TEST(NgramIndex, ADraftGoesOnWithItselfBehindTheEnd) {
  const std::vector<Token> tokens = {1, 2, 3, 1, 2};
  std::vector<Token> draft;
  copy_from(tokens, 2, 7, draft);
  EXPECT_EQ(draft, (std::vector<Token>{3, 1, 2, 3, 1, 2, 3}));
  draft.clear();
  copy_from(tokens, 4, 3, draft);
  EXPECT_EQ(draft, (std::vector<Token>{2, 2, 2}));
}

}  // namespace
}  // namespace aioss::worker
