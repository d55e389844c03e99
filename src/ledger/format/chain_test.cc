#include "ledger/format/chain.h"

#include <gtest/gtest.h>

#include <bit>

#include "ledger/format/commitment.h"
#include "ledger/testing/test_support.h"
#include "ledger/writing/ledger.h"

namespace aioss::ledger {
namespace {

// RFC 6962, section 2.1, as it is written there: slow, and another way than the one under test.
Digest reference_root(const std::vector<Digest>& leaves, std::size_t from, std::size_t count) {
  if (count == 0) return crypto::sha3_256(ByteView{});
  if (count == 1) return leaves[from];
  const std::size_t split = std::bit_floor(count - 1);  // the largest power of two below count
  const Digest left = reference_root(leaves, from, split);
  const Digest right = reference_root(leaves, from + split, count - split);
  const Bytes prefix{0x01};
  return crypto::sha3_256({prefix, left, right});
}

TEST(MerkleTree, HasTheShapeOfRfc6962) {
  ChainHasher hasher;
  MerkleTree tree;
  std::vector<Digest> leaves;
  for (std::uint32_t size = 0; size <= 260; ++size) {
    EXPECT_EQ(tree.root(hasher), reference_root(leaves, 0, leaves.size())) << size;
    EXPECT_EQ(tree.size(), size);
    EXPECT_EQ(tree.frontier().size(), static_cast<std::size_t>(std::popcount(size)));
    Digest leaf{};
    leaf[0] = static_cast<std::uint8_t>(size);
    leaf[1] = static_cast<std::uint8_t>(size >> 8U);
    leaves.push_back(leaf);
    tree.add(leaf, hasher);
  }
}

TEST(MerkleTree, GoesOnFromItsFrontier) {
  ChainHasher hasher;
  MerkleTree tree;
  for (int i = 0; i < 21; ++i) tree.add(Digest{}, hasher);
  auto again = MerkleTree::from_frontier(21, tree.frontier());
  ASSERT_TRUE(again.has_value());
  tree.add(Digest{}, hasher);
  again->add(Digest{}, hasher);
  EXPECT_EQ(tree.root(hasher), again->root(hasher));
  EXPECT_FALSE(MerkleTree::from_frontier(21, {}).has_value());
}

TEST(MerkleTree, ManyLeavesAtOnceAreTheSameTree) {
  ChainHasher hasher;
  std::vector<Digest> leaves(141);
  for (std::size_t i = 0; i < leaves.size(); ++i) leaves[i][0] = static_cast<std::uint8_t>(i);
  MerkleTree before;
  for (std::size_t start = 0; start <= 70; ++start) {
    MerkleTree one_by_one = before;
    for (std::size_t count = 0; count <= 70; ++count) {
      MerkleTree at_once = before;
      at_once.add(std::span(leaves).subspan(start, count));
      ASSERT_EQ(at_once.size(), one_by_one.size()) << start << '+' << count;
      ASSERT_EQ(at_once.frontier(), one_by_one.frontier()) << start << '+' << count;
      one_by_one.add(leaves[start + count], hasher);
    }
    before.add(leaves[start], hasher);
  }
}

TEST(Commitment, OpensWithItsSaltOnly) {
  test::CountingRandom random;
  const Commitment commitment = commit(random, "patient 4711");
  EXPECT_EQ(commitment.value, commitment_of(commitment.salt, "patient 4711"));
  EXPECT_NE(commitment.value, commitment_of(commitment.salt, "patient 4712"));
  Digest salt = commitment.salt;
  salt[0] ^= 1;
  EXPECT_NE(commitment.value, commitment_of(salt, "patient 4711"));
  EXPECT_NE(commit(random, "patient 4711").value, commitment.value);
}

}  // namespace
}  // namespace aioss::ledger
