#include "ledger/format/chain.h"

#include <algorithm>
#include <array>
#include <bit>

#include "base/assert.h"
#include "crypto/sha3_lanes.h"
#include "ledger/format/bytes_io.h"

namespace aioss::ledger {
namespace {

constexpr std::string_view kEntryTag = "aioss/entry/v1\n";
constexpr std::string_view kGenesisTag = "aioss/genesis/v1\n";
constexpr std::string_view kSegmentTag = "aioss/segment/v1\n";
constexpr std::uint8_t kLeafPrefix = 0x00;
constexpr std::uint8_t kNodePrefix = 0x01;

// Of each two neighbours.
std::vector<Digest> nodes_over(const std::vector<Digest>& children) {
  static constexpr std::uint8_t kPrefix[] = {kNodePrefix};
  std::vector<crypto::Message> messages(children.size() / 2);
  for (std::size_t i = 0; i < messages.size(); ++i) {
    messages[i].pieces = {kPrefix, children[2 * i], children[2 * i + 1]};
  }
  std::vector<Digest> nodes(messages.size());
  crypto::sha3_256_each(messages, nodes);
  return nodes;
}

}  // namespace

LeafHead leaf_head(const LedgerId& ledger_id, const Frame& frame) {
  constexpr std::size_t kIdAt = 1 + kEntryTag.size();
  constexpr std::size_t kIndexAt = kIdAt + sizeof(LedgerId);
  LeafHead head;
  static_assert(head.size() == kIndexAt + 16);
  head[0] = kLeafPrefix;
  std::copy(kEntryTag.begin(), kEntryTag.end(), head.begin() + 1);
  std::copy(ledger_id.begin(), ledger_id.end(), head.begin() + kIdAt);
  store_big(frame.index, head, kIndexAt);
  store_big(frame.type, head, kIndexAt + 8);
  store_big(frame.flags, head, kIndexAt + 10);
  store_big(static_cast<std::uint32_t>(frame.body.size()), head, kIndexAt + 12);
  return head;
}

Digest ChainHasher::leaf(const LedgerId& ledger_id, const Frame& frame) {
  return hasher_.update(leaf_head(ledger_id, frame)).update(frame.body).finish();
}

Digest ChainHasher::node(const Digest& left, const Digest& right) {
  std::array<std::uint8_t, 1 + 2 * sizeof(Digest)> bytes;
  bytes[0] = kNodePrefix;
  std::copy(left.begin(), left.end(), bytes.begin() + 1);
  std::copy(right.begin(), right.end(), bytes.begin() + 1 + sizeof(Digest));
  return hasher_.update(bytes).finish();
}

Digest ChainHasher::chain(const Digest& before, const Digest& leaf) {
  std::array<std::uint8_t, kChainTag.size() + 2 * sizeof(Digest)> bytes;
  std::copy(kChainTag.begin(), kChainTag.end(), bytes.begin());
  std::copy(before.begin(), before.end(), bytes.begin() + kChainTag.size());
  std::copy(leaf.begin(), leaf.end(), bytes.begin() + kChainTag.size() + sizeof(Digest));
  return hasher_.update(bytes).finish();
}

Digest genesis_hash(const LedgerId& ledger_id, std::string_view origin,
                    const crypto::PublicKey& public_key) {
  const auto length = big_endian(static_cast<std::uint32_t>(origin.size()));
  return crypto::sha3_256({as_bytes(kGenesisTag), ledger_id, length, as_bytes(origin), public_key});
}

Digest segment_link(const SegmentHeader& previous, const Digest& last_chain,
                    std::uint64_t record_count) {
  const SegmentHeaderBytes header = encode(previous);
  const auto count = big_endian(record_count);
  return crypto::sha3_256({as_bytes(kSegmentTag), header, last_chain, count});
}

std::optional<MerkleTree> MerkleTree::from_frontier(std::uint64_t size,
                                                    std::vector<Digest> frontier) {
  if (frontier.size() != static_cast<std::size_t>(std::popcount(size))) return std::nullopt;
  MerkleTree tree;
  tree.size_ = size;
  tree.frontier_ = std::move(frontier);
  return tree;
}

void MerkleTree::add_subtree(unsigned level, const Digest& root, ChainHasher& hasher) {
  const std::uint64_t leaves = std::uint64_t{1} << level;
  ASSERT((size_ & (leaves - 1)) == 0);
  Digest subtree = root;
  // As in binary counting: each trailing one of the size is a full subtree as large as this one.
  for (std::uint64_t bits = size_ >> level; (bits & 1U) != 0; bits >>= 1U) {
    subtree = hasher.node(frontier_.back(), subtree);
    frontier_.pop_back();
  }
  frontier_.push_back(subtree);
  size_ += leaves;
}

// Level by level, as in addition: the carry is a row of the nodes that this level gains, the first
// of them joined by the one that the tree has there already, if any.
void MerkleTree::add(std::span<const Digest> leaves) {
  std::vector<Digest> row(leaves.begin(), leaves.end());
  std::vector<Digest> left_over;  // roots of full subtrees without a neighbour yet, smallest first
  for (std::uint64_t bits = size_; !row.empty(); bits >>= 1U) {
    if ((bits & 1U) != 0) {
      row.insert(row.begin(), frontier_.back());
      frontier_.pop_back();
    }
    if (row.size() % 2 != 0) {
      left_over.push_back(row.back());
      row.pop_back();
    }
    row = nodes_over(row);
  }
  frontier_.insert(frontier_.end(), left_over.rbegin(), left_over.rend());
  size_ += leaves.size();
}

Digest MerkleTree::root(ChainHasher& hasher) const {
  if (frontier_.empty()) return crypto::sha3_256(ByteView{});
  Digest root = frontier_.back();
  for (std::size_t i = frontier_.size() - 1; i-- > 0;) root = hasher.node(frontier_[i], root);
  return root;
}

}  // namespace aioss::ledger
