// Proofs about the tree of chain.h: that a leaf is in it (inclusion), that one tree begins with
// another (consistency), and that leaves are a gapless stretch of it (range). RFC 9162 section 2.1
// with SHA3-256. Making a proof reads roots of subtrees from a SubtreeSource; checking one takes
// untrusted digests, allocates nothing that they ask for, and is a pure function.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "ledger/format/chain.h"

namespace aioss::ledger {

// One digest for each level of a tree, twice: enough for any proof over 2^64 leaves.
inline constexpr std::size_t kProofDigestsMax = 128;

// Where the roots of aligned subtrees come from: of `1 << level` leaves, beginning with leaf
// `first`, a multiple of that. An error (the disk) ends the making of the proof.
class SubtreeSource {
 public:
  virtual ~SubtreeSource() = default;
  virtual Result<Digest> subtree(unsigned level, std::uint64_t first) = 0;
};

// kInvalidArgument unless index < size, first <= second, first <= after <= size.
Result<std::vector<Digest>> prove_inclusion(SubtreeSource& tree, std::uint64_t index,
                                            std::uint64_t size);
Result<std::vector<Digest>> prove_consistency(SubtreeSource& tree, std::uint64_t first,
                                              std::uint64_t second);
struct RangeProof {
  std::vector<Digest> left;   // roots of the full subtrees over [0, first), largest first
  std::vector<Digest> right;  // of those over [after, size), from left to right
};
Result<RangeProof> prove_range(SubtreeSource& tree, std::uint64_t first, std::uint64_t after,
                               std::uint64_t size);

// The root that a proof leads to; nothing if it has too few or too many digests for its numbers.
// A proof holds if that is the root which was signed.
std::optional<Digest> root_of_inclusion(const Digest& leaf, std::uint64_t index, std::uint64_t size,
                                        std::span<const Digest> proof);
struct ConsistentRoots {
  Digest first{}, second{};
};
// Both roots that the proof leads to; nothing if it is malformed or not 0 < first < second.
// `first_root` is what the proof leaves out where `first` is a power of two.
std::optional<ConsistentRoots> roots_of_consistency(std::uint64_t first, std::uint64_t second,
                                                    const Digest& first_root,
                                                    std::span<const Digest> proof);
// The same from a proof that leaves nothing out: where `first` is a power of two it begins with the
// root over that many. For fork proofs, in which the first root is what is in doubt.
std::optional<ConsistentRoots> roots_of_whole_consistency(std::uint64_t first, std::uint64_t second,
                                                          std::span<const Digest> proof);
Result<std::vector<Digest>> prove_whole_consistency(SubtreeSource& tree, std::uint64_t first,
                                                    std::uint64_t second);
// Takes the leaves of [first, after) one by one, then gives the root.
class RangeRoot final {
 public:
  static std::optional<RangeRoot> begin(std::uint64_t first, std::span<const Digest> left);
  void add(const Digest& leaf) { tree_.add(leaf, hasher_); }
  std::uint64_t after() const { return tree_.size(); }
  // Over the leaves so far, those before `first` included.
  Digest root() { return tree_.root(hasher_); }
  const std::vector<Digest>& frontier() const { return tree_.frontier(); }
  // Once, at the end. Nothing if the digests are not as many as those numbers need.
  std::optional<Digest> finish(std::uint64_t size, std::span<const Digest> right);

 private:
  explicit RangeRoot(MerkleTree tree) : tree_(std::move(tree)) {}
  MerkleTree tree_;
  ChainHasher hasher_;
};

}  // namespace aioss::ledger
