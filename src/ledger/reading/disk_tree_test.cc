// Proofs from the disk, where records are whole and where only their leaves are left.
#include "ledger/reading/disk_tree.h"

#include <gtest/gtest.h>

#include "ledger/testing/test_support.h"

namespace aioss::ledger {
namespace {

using test::kDirectory;

// A ledger of which one segment was pruned, and what it was before.
struct Pruned {
  test::SmallLedger small = test::make_small_ledger(true);
  std::vector<Digest> leaves, roots;  // roots[n]: over the first n

  explicit Pruned(std::size_t segment) {
    ChainHasher hasher;
    MerkleTree tree;
    roots.push_back(tree.root(hasher));
    EXPECT_TRUE(read_records(*small.fs, kDirectory, 0, [&](const Record& record) {
                  leaves.push_back(record.leaf);
                  tree.add(record.leaf, hasher);
                  roots.push_back(tree.root(hasher));
                  return true;
                }).has_value());
    const std::string path = test::segment_paths(*small.fs).at(segment);
    test::prune_by_hand(*small.fs, parse_header(small.fs->content(path)).header.first_index);
  }
  std::uint64_t size() const { return leaves.size(); }
};

class DiskTreeTest : public ::testing::TestWithParam<std::size_t> {
 protected:
  Pruned ledger{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Segments, DiskTreeTest, ::testing::Values(0U, 1U));

TEST_P(DiskTreeTest, ProvesEveryRecordAtEverySize) {
  ASSERT_GT(ledger.size(), 10U);
  for (std::uint64_t size = 2; size <= ledger.size(); ++size) {
    std::vector<std::vector<Digest>> proofs(size);
    std::vector<Digest> located;
    Onlooker onlooker;
    onlooker.located = [&](const RecordPlace& place) {
      EXPECT_EQ(place.index, located.size());
      located.push_back(place.leaf);
    };
    const auto plan = [&](SubtreeSource& tree) -> Status {
      for (std::uint64_t index = 0; index < size; ++index) {
        AIOSS_TRY(proofs[index], prove_inclusion(tree, index, size));
      }
      return ok();
    };
    const auto facts = prove_on_disk(*ledger.small.fs, kDirectory, size, plan, onlooker);
    ASSERT_TRUE(facts.has_value()) << size << ": " << facts.error().message;
    EXPECT_EQ(facts->root, ledger.roots[size]) << size;
    EXPECT_EQ(facts->origin, test::kOrigin);
    ASSERT_EQ(located.size(), size);
    for (std::uint64_t index = 0; index < size; ++index) {
      EXPECT_EQ(located[index], ledger.leaves[index]) << index;
      EXPECT_EQ(root_of_inclusion(located[index], index, size, proofs[index]), facts->root)
          << index << " of " << size;
    }
  }
}

TEST_P(DiskTreeTest, ProvesThatItOnlyGrew) {
  for (std::uint64_t second = 3; second <= ledger.size(); ++second) {
    for (std::uint64_t first = 1; first < second; first += 1 + first / 4) {
      std::vector<Digest> proof;
      const auto plan = [&](SubtreeSource& tree) -> Status {
        AIOSS_TRY(proof, prove_consistency(tree, first, second));
        return ok();
      };
      ASSERT_TRUE(prove_on_disk(*ledger.small.fs, kDirectory, second, plan).has_value());
      const auto roots = roots_of_consistency(first, second, ledger.roots[first], proof);
      ASSERT_TRUE(roots.has_value());
      EXPECT_EQ(roots->first, ledger.roots[first]) << first << " in " << second;
      EXPECT_EQ(roots->second, ledger.roots[second]) << first << " in " << second;
    }
  }
}

TEST_P(DiskTreeTest, ShowsTheRecordsThatAreLeftUpToTheSize) {
  const auto nothing = [](SubtreeSource&) { return ok(); };
  for (std::uint64_t size = 2; size <= ledger.size(); ++size) {
    std::vector<std::uint64_t> seen, expected;
    EXPECT_TRUE(read_records(*ledger.small.fs, kDirectory, 0, [&](const Record& record) {
                  if (record.index < size) expected.push_back(record.index);
                  return true;
                }).has_value());
    Onlooker onlooker;
    onlooker.visit = [&](const Record& record) { seen.push_back(record.index); };
    ASSERT_TRUE(prove_on_disk(*ledger.small.fs, kDirectory, size, nothing, onlooker).has_value());
    EXPECT_EQ(seen, expected) << size;
  }
}

TEST_P(DiskTreeTest, RefusesWhatItCannotProve) {
  const auto nothing = [](SubtreeSource&) { return ok(); };
  test::MemoryFileSystem& fs = *ledger.small.fs;
  EXPECT_EQ(prove_on_disk(fs, kDirectory, 1, nothing).error().code, Code::kNotFound);
  EXPECT_EQ(prove_on_disk(fs, kDirectory, ledger.size() + 1, nothing).error().code,
            Code::kNotFound);
  const auto beyond = [&](SubtreeSource& tree) -> Status {
    AIOSS_CHECK(prove_inclusion(tree, ledger.size(), ledger.size()));
    return ok();
  };
  EXPECT_EQ(prove_on_disk(fs, kDirectory, ledger.size(), beyond).error().code,
            Code::kInvalidArgument);
  fs.content(test::segment_paths(fs).back())[300] ^= 1;
  EXPECT_EQ(prove_on_disk(fs, kDirectory, ledger.size(), nothing).error().code, Code::kCorrupt);
}

}  // namespace
}  // namespace aioss::ledger
