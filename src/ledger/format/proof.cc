#include "ledger/format/proof.h"

#include <algorithm>
#include <bit>

namespace aioss::ledger {
namespace {

// A tree larger than this is nobody's: sums of sizes below it cannot overflow.
constexpr std::uint64_t kTreeSizeMax = std::uint64_t{1} << 63;

Error out_of_range(std::string_view what) {
  return {Code::kInvalidArgument, "no such proof: " + std::string(what)};
}

unsigned level_of(std::uint64_t leaves) {  // of a full subtree of that many
  return static_cast<unsigned>(std::countr_zero(leaves));
}

// The root over leaves [first, end), where `first` is a multiple of the power of two that is not
// below their number: the full subtrees that the RFC's recursion ends in, folded from the right.
Result<Digest> root_over(SubtreeSource& tree, std::uint64_t first, std::uint64_t end) {
  std::vector<Digest> full;
  while (first < end) {
    const std::uint64_t leaves = std::bit_floor(end - first);
    AIOSS_TRY(const Digest root, tree.subtree(level_of(leaves), first));
    full.push_back(root);
    first += leaves;
  }
  ChainHasher hasher;
  Digest root = full.back();
  for (std::size_t i = full.size() - 1; i-- > 0;) root = hasher.node(full[i], root);
  return root;
}

// RFC 9162 calls the tree's split k: the largest power of two below the number of leaves.
std::uint64_t split_of(std::uint64_t first, std::uint64_t end) {
  return first + std::bit_floor(end - first - 1);
}

// The subtrees that cover [first, end) from left to right, each as large as its place and the end
// allow.
template <typename Visit>  // Status visit(unsigned level, std::uint64_t first)
Status for_each_aligned(std::uint64_t first, std::uint64_t end, const Visit& visit) {
  while (first < end) {
    const std::uint64_t fits = std::bit_floor(end - first);
    const std::uint64_t aligned = first == 0 ? fits : first & (~first + 1);
    const std::uint64_t leaves = std::min(fits, aligned);
    AIOSS_CHECK(visit(level_of(leaves), first));
    first += leaves;
  }
  return ok();
}

// Both numbers of RFC 9162 2.1.3.2 and 2.1.4.2: the places of a node and of the last node of its
// level.
struct Path {
  std::uint64_t node, last;

  void up() {
    node >>= 1U;
    last >>= 1U;
  }
  bool is_right() const { return (node & 1U) != 0; }
  // Past the levels where the node has no sibling. To be called after joining with a left one.
  void skip_alone() {
    while (!is_right() && node != 0) up();
  }
};

}  // namespace

Result<std::vector<Digest>> prove_inclusion(SubtreeSource& tree, std::uint64_t index,
                                            std::uint64_t size) {
  if (index >= size || size > kTreeSizeMax) return out_of_range("the record is not in that tree");
  std::vector<Digest> proof;
  for (std::uint64_t first = 0, end = size; end - first > 1;) {
    const std::uint64_t split = split_of(first, end);
    const bool left = index < split;
    AIOSS_TRY(const Digest sibling,
              left ? root_over(tree, split, end) : root_over(tree, first, split));
    proof.push_back(sibling);
    (left ? end : first) = split;
  }
  std::reverse(proof.begin(), proof.end());
  return proof;
}

Result<std::vector<Digest>> prove_consistency(SubtreeSource& tree, std::uint64_t first,
                                              std::uint64_t second) {
  if (first > second || second > kTreeSizeMax) return out_of_range("the first size is the larger");
  std::vector<Digest> proof;
  if (first == 0 || first == second) return proof;
  std::uint64_t begin = 0;
  std::uint64_t end = second;
  while (first != end) {  // until [begin, end) is what the first tree ends with
    const std::uint64_t split = split_of(begin, end);
    const bool left = first <= split;
    AIOSS_TRY(const Digest other,
              left ? root_over(tree, split, end) : root_over(tree, begin, split));
    proof.push_back(other);
    (left ? end : begin) = split;
  }
  if (begin != 0) {  // otherwise it is the first tree's root, which the verifier has
    AIOSS_TRY(const Digest own, root_over(tree, begin, end));
    proof.push_back(own);
  }
  std::reverse(proof.begin(), proof.end());
  return proof;
}

Result<std::vector<Digest>> prove_whole_consistency(SubtreeSource& tree, std::uint64_t first,
                                                    std::uint64_t second) {
  AIOSS_TRY(std::vector<Digest> proof, prove_consistency(tree, first, second));
  if (first == second || !std::has_single_bit(first)) return proof;
  AIOSS_TRY(const Digest own, tree.subtree(level_of(first), 0));
  proof.insert(proof.begin(), own);
  return proof;
}

Result<RangeProof> prove_range(SubtreeSource& tree, std::uint64_t first, std::uint64_t after,
                               std::uint64_t size) {
  if (first > after || after > size || size > kTreeSizeMax) {
    return out_of_range("the range is not in that tree");
  }
  RangeProof proof;
  const auto keep_in = [&tree](std::vector<Digest>& side) {
    return [&tree, &side](unsigned level, std::uint64_t begin) -> Status {
      AIOSS_TRY(const Digest root, tree.subtree(level, begin));
      side.push_back(root);
      return ok();
    };
  };
  AIOSS_CHECK(for_each_aligned(0, first, keep_in(proof.left)));
  AIOSS_CHECK(for_each_aligned(after, size, keep_in(proof.right)));
  return proof;
}

std::optional<Digest> root_of_inclusion(const Digest& leaf, std::uint64_t index, std::uint64_t size,
                                        std::span<const Digest> proof) {
  if (index >= size) return std::nullopt;
  ChainHasher hasher;
  Path path{index, size - 1};
  Digest root = leaf;
  for (const Digest& sibling : proof) {
    if (path.last == 0) return std::nullopt;
    if (path.is_right() || path.node == path.last) {
      root = hasher.node(sibling, root);
      path.skip_alone();
    } else {
      root = hasher.node(root, sibling);
    }
    path.up();
  }
  if (path.last != 0) return std::nullopt;
  return root;
}

std::optional<ConsistentRoots> roots_of_consistency(std::uint64_t first, std::uint64_t second,
                                                    const Digest& first_root,
                                                    std::span<const Digest> proof) {
  if (first == 0 || first >= second) return std::nullopt;
  const bool is_subtree = std::has_single_bit(first);
  if (!is_subtree) {
    if (proof.empty()) return std::nullopt;
    return roots_of_whole_consistency(first, second, proof);
  }
  if (proof.size() > kProofDigestsMax) return std::nullopt;
  std::vector<Digest> whole{first_root};
  whole.insert(whole.end(), proof.begin(), proof.end());
  return roots_of_whole_consistency(first, second, whole);
}

std::optional<ConsistentRoots> roots_of_whole_consistency(std::uint64_t first, std::uint64_t second,
                                                          std::span<const Digest> proof) {
  if (first == 0 || first >= second || proof.empty()) return std::nullopt;
  ChainHasher hasher;
  Path path{first - 1, second - 1};
  while (path.is_right()) path.up();
  ConsistentRoots roots{proof.front(), proof.front()};
  for (const Digest& other : proof.subspan(1)) {
    if (path.last == 0) return std::nullopt;
    if (path.is_right() || path.node == path.last) {
      roots.first = hasher.node(other, roots.first);
      roots.second = hasher.node(other, roots.second);
      path.skip_alone();
    } else {
      roots.second = hasher.node(roots.second, other);
    }
    path.up();
  }
  if (path.last != 0) return std::nullopt;
  return roots;
}

std::optional<RangeRoot> RangeRoot::begin(std::uint64_t first, std::span<const Digest> left) {
  if (first > kTreeSizeMax) return std::nullopt;
  auto tree = MerkleTree::from_frontier(first, {left.begin(), left.end()});
  if (!tree) return std::nullopt;
  return RangeRoot(std::move(*tree));
}

std::optional<Digest> RangeRoot::finish(std::uint64_t size, std::span<const Digest> right) {
  if (size < tree_.size() || size > kTreeSizeMax) return std::nullopt;
  std::size_t used = 0;
  const Status covered =
      for_each_aligned(tree_.size(), size, [&](unsigned level, std::uint64_t) -> Status {
        if (used == right.size()) return out_of_range("too few digests");
        tree_.add_subtree(level, right[used++], hasher_);
        return ok();
      });
  if (!covered || used != right.size()) return std::nullopt;
  return tree_.root(hasher_);
}

}  // namespace aioss::ledger
