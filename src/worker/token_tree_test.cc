#include "worker/token_tree.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <vector>

namespace aioss::worker {
namespace {

using Tokens = std::vector<TokenTree::Token>;

TEST(TokenTree, FindsTheLongestThatAPromptBeginsWith) {
  TokenTree tree;
  tree.insert(Tokens{1, 2, 3}, 10);
  tree.insert(Tokens{1, 2, 3, 4, 5}, 20);
  tree.insert(Tokens{9}, 30);
  const TokenTree::Found found = tree.find(Tokens{1, 2, 3, 4, 5, 6});
  EXPECT_EQ(found.whole, 20U);
  EXPECT_EQ(found.whole_tokens, 5U);
  EXPECT_FALSE(found.part);
}

TEST(TokenTree, FindsOneThatAgreesForLonger) {
  TokenTree tree;
  tree.insert(Tokens{1, 2}, 10);
  tree.insert(Tokens{1, 2, 3, 4, 5}, 20);
  const TokenTree::Found found = tree.find(Tokens{1, 2, 3, 4, 6});
  EXPECT_EQ(found.whole, 10U);
  EXPECT_EQ(found.whole_tokens, 2U);
  EXPECT_EQ(found.part, 20U);
  EXPECT_EQ(found.part_tokens, 4U);
}

TEST(TokenTree, APromptThatEndsInsideOneAgreesAsFar) {
  TokenTree tree;
  tree.insert(Tokens{1, 2, 3, 4}, 10);
  const TokenTree::Found found = tree.find(Tokens{1, 2});
  EXPECT_FALSE(found.whole);
  EXPECT_EQ(found.part, 10U);
  EXPECT_EQ(found.part_tokens, 2U);
  EXPECT_FALSE(tree.at(Tokens{1, 2}));
  EXPECT_EQ(tree.at(Tokens{1, 2, 3, 4}), 10U);
}

TEST(TokenTree, NothingInCommonIsNothing) {
  TokenTree tree;
  EXPECT_FALSE(tree.find(Tokens{1}).part);
  tree.insert(Tokens{1, 2}, 10);
  const TokenTree::Found found = tree.find(Tokens{2, 1});
  EXPECT_FALSE(found.whole || found.part);
}

// Against the definition, with few different tokens, so that everything shares and branches.
TEST(TokenTree, AgreesWithALinearSearch) {
  std::mt19937 dice(7);
  const auto sequence = [&](std::size_t longest) {
    Tokens tokens(1 + dice() % longest);
    for (auto& token : tokens) token = static_cast<TokenTree::Token>(dice() % 2);
    return tokens;
  };
  TokenTree tree;
  std::map<Tokens, TokenTree::Id> all;
  for (TokenTree::Id round = 0; round < 20'000; ++round) {
    const Tokens tokens = sequence(12);
    if (all.contains(tokens)) {
      tree.erase(tokens);
      all.erase(tokens);
    } else {
      tree.insert(tokens, round);
      all.emplace(tokens, round);
    }
    if (all.size() > 300 || dice() % 50 == 0) {
      while (!all.empty()) {
        tree.erase(all.begin()->first);
        all.erase(all.begin());
      }
      ASSERT_TRUE(tree.empty());
      ASSERT_EQ(tree.nodes(), 0U);
    }
    ASSERT_LE(tree.nodes(), 2 * all.size()) << "each node ends one or branches";
    const Tokens prompt = sequence(14);
    std::size_t whole = 0, part = 0;
    for (const auto& [known, id] : all) {
      const auto agree = std::mismatch(known.begin(), known.end(), prompt.begin(), prompt.end());
      const auto length = static_cast<std::size_t>(agree.first - known.begin());
      part = std::max(part, length);
      if (length == known.size()) whole = std::max(whole, length);
    }
    const TokenTree::Found found = tree.find(prompt);
    ASSERT_EQ(found.whole_tokens, whole);
    ASSERT_EQ(found.whole.has_value(), whole > 0);
    ASSERT_EQ(found.part.has_value(), part > whole);
    if (found.whole) {
      const Tokens begins(prompt.begin(), prompt.begin() + static_cast<std::ptrdiff_t>(whole));
      ASSERT_EQ(all.at(begins), *found.whole);
    }
    if (part > whole) {
      ASSERT_EQ(found.part_tokens, part);
    }
  }
}

}  // namespace
}  // namespace aioss::worker
