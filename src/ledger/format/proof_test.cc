#include "ledger/format/proof.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstdio>
#include <map>

#include "ledger/testing/test_support.h"

namespace aioss::ledger {
namespace {

constexpr std::uint64_t kLeaves = 1'025;

// A tree of kLeaves leaves, twice: as RFC 6962 section 2.1 defines roots and proofs, word for word
// and recursively (reference_…), and as the source that the code under test reads.
class TestTree final : public SubtreeSource {
 public:
  TestTree() {
    std::vector<Digest> level(kLeaves);
    for (std::uint64_t i = 0; i < kLeaves; ++i) {
      level[i][0] = static_cast<std::uint8_t>(i);
      level[i][1] = static_cast<std::uint8_t>(i >> 8U);
      level[i][2] = 0x5A;
    }
    while (!level.empty()) {
      levels_.push_back(level);
      std::vector<Digest> next;
      for (std::size_t i = 0; i + 1 < level.size(); i += 2) {
        next.push_back(hasher_.node(level[i], level[i + 1]));
      }
      level = std::move(next);
    }
  }

  Result<Digest> subtree(unsigned level, std::uint64_t first) override {
    EXPECT_LT(level, levels_.size());
    EXPECT_EQ(first % (std::uint64_t{1} << level), 0U) << "not aligned";
    EXPECT_LT(first >> level, levels_[level].size()) << "beyond the tree";
    return levels_[level][first >> level];
  }
  const Digest& leaf(std::uint64_t index) const { return levels_[0][index]; }

  // MTH(D[from:to])
  const Digest& reference_root(std::uint64_t from, std::uint64_t to) {
    const auto found = roots_.find({from, to});
    if (found != roots_.end()) return found->second;
    Digest root;
    if (to == from) {
      root = crypto::sha3_256(ByteView{});
    } else if (to - from == 1) {
      root = leaf(from);
    } else {
      const std::uint64_t k = from + std::bit_floor(to - from - 1);
      const Bytes prefix{0x01};
      const Digest left = reference_root(from, k);
      const Digest right = reference_root(k, to);
      root = crypto::sha3_256({prefix, left, right});
    }
    return roots_[{from, to}] = root;
  }
  const Digest& root(std::uint64_t size) { return reference_root(0, size); }

  // PATH(m, D[from:to])
  std::vector<Digest> reference_path(std::uint64_t m, std::uint64_t from, std::uint64_t to) {
    if (to - from == 1) return {};
    const std::uint64_t k = std::bit_floor(to - from - 1);
    std::vector<Digest> path =
        m < k ? reference_path(m, from, from + k) : reference_path(m - k, from + k, to);
    path.push_back(m < k ? reference_root(from + k, to) : reference_root(from, from + k));
    return path;
  }
  // SUBPROOF(m, D[from:to], whole)
  std::vector<Digest> reference_subproof(std::uint64_t m, std::uint64_t from, std::uint64_t to,
                                         bool whole) {
    if (m == to - from) {
      return whole ? std::vector<Digest>() : std::vector<Digest>{reference_root(from, to)};
    }
    const std::uint64_t k = std::bit_floor(to - from - 1);
    std::vector<Digest> proof = m <= k ? reference_subproof(m, from, from + k, whole)
                                       : reference_subproof(m - k, from + k, to, false);
    proof.push_back(m <= k ? reference_root(from + k, to) : reference_root(from, from + k));
    return proof;
  }

 private:
  ChainHasher hasher_;
  std::vector<std::vector<Digest>> levels_;
  std::map<std::pair<std::uint64_t, std::uint64_t>, Digest> roots_;
};

TestTree& tree() {
  static TestTree one;
  return one;
}

// All pairs with a second number up to kLeaves in the long form; in the quick one all small ones,
// and around powers of two a sample.
bool wanted(std::uint64_t first, std::uint64_t second) {
  if (test::long_form() || second <= 40) return true;
  const auto near_power = [](std::uint64_t n) {
    return n < 2 || std::has_single_bit(n) || std::has_single_bit(n - 1) ||
           std::has_single_bit(n + 1);
  };
  if (near_power(second)) return near_power(first) || first % 37 == 5 || first + 1 >= second;
  return second % 89 == 3 && first % 41 == 2;
}

struct Counts {
  std::uint64_t proofs = 0, mutations = 0, accepted = 0;
  void print(const char* what) const {
    std::printf("%s: %llu proofs, %llu mutations, %llu false accepts\n", what,
                static_cast<unsigned long long>(proofs), static_cast<unsigned long long>(mutations),
                static_cast<unsigned long long>(accepted));
    EXPECT_EQ(accepted, 0U) << what;
    EXPECT_GT(mutations, 0U);
  }
};

// Calls `check` with every list that has one bit of a digest flipped; and, for every list in the
// quick form, for one of eight among the million of the long one, with those in which a digest is
// missing, repeated, exchanged with its neighbour, or one more.
template <typename Check>
void for_each_mutation(const std::vector<Digest>& proof, const Check& check) {
  static std::uint64_t calls = 0;
  const bool shapes = !test::long_form() || ++calls % 8 == 0;
  std::vector<Digest> bad = proof;
  for (std::size_t i = 0; i < proof.size(); ++i) {
    bad[i][(i * 7) % bad[i].size()] ^= static_cast<std::uint8_t>(1U << (i % 8));
    check(bad);
    bad[i] = proof[i];
  }
  if (!shapes) return;
  for (std::size_t i = 0; i < proof.size(); ++i) {
    bad = proof;
    bad.erase(bad.begin() + static_cast<std::ptrdiff_t>(i));
    check(bad);
    if (i == 0) continue;
    bad = proof;
    std::swap(bad[i - 1], bad[i]);
    check(bad);
  }
  bad = proof;
  bad.push_back(proof.empty() ? Digest{} : proof.back());
  check(bad);
  bad = proof;
  bad.insert(bad.begin(), proof.empty() ? Digest{} : proof.front());
  check(bad);
}

std::vector<std::uint64_t> mutations_of(std::uint64_t number) {
  std::vector<std::uint64_t> out{number + 1, number * 2, number ^ 4U, number ^ 64U, 0, 1, kLeaves};
  if (number > 0) out.push_back(number - 1);
  std::erase_if(out, [number](std::uint64_t n) { return n == number || n > kLeaves; });
  return out;
}

bool included(const Digest& leaf, std::uint64_t index, std::uint64_t size,
              const std::vector<Digest>& proof) {
  const auto root = root_of_inclusion(leaf, index, size, proof);
  return root && size <= kLeaves && *root == tree().root(size);
}

void mutate_inclusion(std::uint64_t index, std::uint64_t size, const std::vector<Digest>& proof,
                      Counts& counts) {
  const auto must_fail = [&](const Digest& leaf, std::uint64_t i, std::uint64_t n,
                             const std::vector<Digest>& digests) {
    ++counts.mutations;
    counts.accepted += included(leaf, i, n, digests) ? 1 : 0;
  };
  for_each_mutation(proof, [&](const std::vector<Digest>& bad) {
    must_fail(tree().leaf(index), index, size, bad);
  });
  Digest leaf = tree().leaf(index);
  leaf[31] ^= 0x80;
  must_fail(leaf, index, size, proof);
  for (const std::uint64_t other : mutations_of(index)) {
    must_fail(tree().leaf(index), other, size, proof);
  }
  for (const std::uint64_t other : mutations_of(size)) {
    must_fail(tree().leaf(index), index, other, proof);
  }
}

TEST(Proof, InclusionIsRfc6962sAndTakesNoMutation) {
  Counts counts;
  for (std::uint64_t size = 0; size <= kLeaves; ++size) {
    for (std::uint64_t index = 0; index <= size; ++index) {
      if (!wanted(index, size)) continue;
      const auto proof = prove_inclusion(tree(), index, size);
      if (index == size) {
        EXPECT_FALSE(proof.has_value());
        continue;
      }
      ASSERT_TRUE(proof.has_value());
      ASSERT_EQ(*proof, tree().reference_path(index, 0, size)) << index << " in " << size;
      ASSERT_TRUE(included(tree().leaf(index), index, size, *proof)) << index << " in " << size;
      ++counts.proofs;
      mutate_inclusion(index, size, *proof, counts);
    }
  }
  counts.print("inclusion");
}

// As a verifier does it who has both roots.
bool consistent(std::uint64_t first, std::uint64_t second, const Digest& first_root,
                const Digest& second_root, const std::vector<Digest>& proof) {
  const auto roots = roots_of_consistency(first, second, first_root, proof);
  return roots && roots->first == first_root && roots->second == second_root;
}

void mutate_consistency(std::uint64_t first, std::uint64_t second, const std::vector<Digest>& proof,
                        Counts& counts) {
  const auto must_fail = [&](std::uint64_t m, std::uint64_t n, const Digest& first_root,
                             const Digest& second_root, const std::vector<Digest>& digests) {
    ++counts.mutations;
    counts.accepted += consistent(m, n, first_root, second_root, digests) ? 1 : 0;
  };
  const Digest& old_root = tree().root(first);
  const Digest& new_root = tree().root(second);
  for_each_mutation(proof, [&](const std::vector<Digest>& bad) {
    must_fail(first, second, old_root, new_root, bad);
  });
  for (int side = 0; side < 2; ++side) {
    Digest roots[2] = {old_root, new_root};
    roots[side][side] ^= 1;
    must_fail(first, second, roots[0], roots[1], proof);
  }
  must_fail(first, second, new_root, old_root, proof);
  // Sizes with the roots that were signed for them; a root that belongs to another size is a root
  // that was not signed.
  for (const std::uint64_t other : mutations_of(first)) {
    must_fail(other, second, tree().root(other), new_root, proof);
  }
  for (const std::uint64_t other : mutations_of(second)) {
    must_fail(first, other, old_root, tree().root(other), proof);
  }
}

TEST(Proof, ConsistencyIsRfc6962sAndTakesNoMutation) {
  Counts counts;
  for (std::uint64_t second = 0; second <= kLeaves; ++second) {
    for (std::uint64_t first = 0; first <= second + 1; ++first) {
      if (!wanted(first, second)) continue;
      const auto proof = prove_consistency(tree(), first, second);
      ASSERT_EQ(proof.has_value(), first <= second);
      if (first > second) continue;
      if (first == 0 || first == second) {
        EXPECT_TRUE(proof->empty());
        EXPECT_FALSE(roots_of_consistency(first, second, tree().root(first), *proof));
        continue;
      }
      ASSERT_EQ(*proof, tree().reference_subproof(first, 0, second, true));
      ASSERT_TRUE(consistent(first, second, tree().root(first), tree().root(second), *proof))
          << first << " to " << second;
      ++counts.proofs;
      mutate_consistency(first, second, *proof, counts);
    }
  }
  counts.print("consistency");
}

// Nothing left out: both roots come from the proof alone.
TEST(Proof, WholeConsistencyGivesBothRoots) {
  Counts counts;
  for (std::uint64_t second = 1; second <= kLeaves; ++second) {
    for (std::uint64_t first = 1; first < second; ++first) {
      if (!wanted(first, second)) continue;
      const auto proof = prove_whole_consistency(tree(), first, second);
      ASSERT_TRUE(proof.has_value());
      const auto roots = roots_of_whole_consistency(first, second, *proof);
      ASSERT_TRUE(roots.has_value()) << first << " to " << second;
      ASSERT_EQ(roots->first, tree().root(first)) << first << " to " << second;
      ASSERT_EQ(roots->second, tree().root(second)) << first << " to " << second;
      ++counts.proofs;
      // Whoever has the second root cannot be told another first one.
      for_each_mutation(*proof, [&](const std::vector<Digest>& bad) {
        const auto told = roots_of_whole_consistency(first, second, bad);
        ++counts.mutations;
        counts.accepted += told && told->second == tree().root(second) ? 1 : 0;
      });
    }
  }
  counts.print("whole consistency");
}

struct Range {
  std::uint64_t first, after, size;
};

std::optional<Digest> root_of_range(const Range& range, const RangeProof& proof,
                                    std::optional<std::uint64_t> bad_leaf = std::nullopt) {
  auto root = RangeRoot::begin(range.first, proof.left);
  if (!root) return std::nullopt;
  for (std::uint64_t i = range.first; i < range.after; ++i) {
    Digest leaf = tree().leaf(i);
    if (bad_leaf == i) leaf[4] ^= 2;
    root->add(leaf);
  }
  return root->finish(range.size, proof.right);
}

void mutate_range(const Range& range, const RangeProof& proof, Counts& counts) {
  const auto must_fail = [&](const Range& r, const RangeProof& p,
                             std::optional<std::uint64_t> bad_leaf) {
    ++counts.mutations;
    if (r.after > kLeaves || r.first > r.after) return;
    const auto root = root_of_range(r, p, bad_leaf);
    counts.accepted += root && r.size <= kLeaves && *root == tree().root(r.size) ? 1 : 0;
  };
  for_each_mutation(proof.left, [&](const std::vector<Digest>& bad) {
    must_fail(range, {bad, proof.right}, std::nullopt);
  });
  for_each_mutation(proof.right, [&](const std::vector<Digest>& bad) {
    must_fail(range, {proof.left, bad}, std::nullopt);
  });
  if (range.first < range.after) {
    must_fail(range, proof, range.first);
    must_fail(range, proof, range.after - 1);
  }
  for (const std::uint64_t other : mutations_of(range.size)) {
    must_fail({range.first, range.after, other}, proof, std::nullopt);
  }
}

void check_range(const Range& range, Counts& counts) {
  const auto proof = prove_range(tree(), range.first, range.after, range.size);
  ASSERT_TRUE(proof.has_value());
  const auto root = root_of_range(range, *proof);
  ASSERT_TRUE(root.has_value());
  ASSERT_EQ(*root, tree().root(range.size))
      << range.first << " to " << range.after << " of " << range.size;
  ++counts.proofs;
  mutate_range(range, *proof, counts);
}

TEST(Proof, RangesLeadToTheRootAndTakeNoMutation) {
  Counts counts;
  const std::uint64_t all_up_to = test::long_form() ? 48 : 17;
  for (std::uint64_t size = 0; size <= all_up_to; ++size) {
    for (std::uint64_t after = 0; after <= size; ++after) {
      for (std::uint64_t first = 0; first <= after; ++first)
        check_range({first, after, size}, counts);
    }
  }
  for (std::uint64_t size = all_up_to; size <= kLeaves; size += test::long_form() ? 1 : 56) {
    for (const std::uint64_t first : {size / 3, size / 2, std::bit_floor(size)}) {
      check_range({first, std::min(size, first + 1), size}, counts);
      check_range({first, first + (size - first) / 2, size}, counts);
      check_range({first, size, size}, counts);
    }
  }
  counts.print("range");
  EXPECT_FALSE(prove_range(tree(), 3, 2, 5).has_value());
  EXPECT_FALSE(prove_range(tree(), 2, 6, 5).has_value());
}

// What no ledger has must not be walked, summed over or allocated for.
TEST(Proof, AbsurdNumbersAreRefused) {
  constexpr std::uint64_t kMost = ~std::uint64_t{0};
  const std::vector<Digest> many(200);
  EXPECT_FALSE(root_of_inclusion({}, kMost, kMost, many).has_value());
  EXPECT_FALSE(root_of_inclusion({}, kMost - 1, kMost, many).has_value());
  EXPECT_FALSE(root_of_inclusion({}, 0, 0, {}).has_value());
  EXPECT_FALSE(roots_of_consistency(kMost - 1, kMost, {}, many).has_value());
  EXPECT_FALSE(roots_of_consistency(std::uint64_t{1} << 62, kMost, {}, many).has_value());
  EXPECT_FALSE(roots_of_whole_consistency(1, kMost, {}).has_value());
  EXPECT_FALSE(RangeRoot::begin(kMost, many).has_value());
  EXPECT_FALSE(RangeRoot::begin(3, many).has_value());
  auto range = RangeRoot::begin(0, {});
  ASSERT_TRUE(range.has_value());
  EXPECT_FALSE(range->finish(kMost, many).has_value());
  EXPECT_FALSE(prove_inclusion(tree(), 0, kMost).has_value());
  EXPECT_FALSE(prove_consistency(tree(), 1, kMost).has_value());
}

class BrokenTree final : public SubtreeSource {
 public:
  Result<Digest> subtree(unsigned, std::uint64_t) override {
    return Error{Code::kIo, "the disk is gone"};
  }
};

TEST(Proof, AnErrorOfTheSourceEndsTheMaking) {
  BrokenTree broken;
  EXPECT_EQ(prove_inclusion(broken, 3, 7).error().code, Code::kIo);
  EXPECT_EQ(prove_consistency(broken, 3, 7).error().code, Code::kIo);
  EXPECT_EQ(prove_whole_consistency(broken, 4, 7).error().code, Code::kIo);
  EXPECT_EQ(prove_range(broken, 3, 4, 7).error().code, Code::kIo);
}

}  // namespace
}  // namespace aioss::ledger
