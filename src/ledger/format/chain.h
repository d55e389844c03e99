// What is hashed, and how: entries to leaves, leaves to a chain and to a Merkle tree in the shape
// of RFC 6962, everything SHA3-256. Formulas: docs/formats/ledger.md, section 4. A ChainHasher or
// MerkleTree belongs to one thread at a time.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "crypto/ed25519.h"
#include "crypto/hash.h"
#include "ledger/format/format.h"

namespace aioss::ledger {

// What is hashed of a frame before its body: 0x00 ‖ tag ‖ ledger_id ‖ u64 index ‖ u16 type ‖
// u16 flags ‖ u32 length.
using LeafHead = std::array<std::uint8_t, 1 + 15 + sizeof(LedgerId) + 16>;
// `frame.chain` is not part of a leaf and is not read.
LeafHead leaf_head(const LedgerId& ledger_id, const Frame& frame);
inline constexpr std::string_view kChainTag = "aioss/chain/v1\n";

// Keeps one hasher, because making one costs as much as hashing a small record.
class ChainHasher final {
 public:
  ChainHasher() : hasher_(crypto::HashAlgorithm::kSha3_256) {}

  Digest leaf(const LedgerId& ledger_id, const Frame& frame);
  Digest node(const Digest& left, const Digest& right);
  Digest chain(const Digest& before, const Digest& leaf);

 private:
  crypto::Hasher hasher_;
};

// The chain value before the first record.
Digest genesis_hash(const LedgerId& ledger_id, std::string_view origin,
                    const crypto::PublicKey& public_key);
// What a segment's header says of the segment before it.
Digest segment_link(const SegmentHeader& previous, const Digest& last_chain,
                    std::uint64_t record_count);

// The Merkle tree over all leaves so far, of which only the roots of its full subtrees are kept:
// one digest for each bit of the size that is set.
class MerkleTree final {
 public:
  MerkleTree() = default;
  // From what a SEGMENT_SEAL says; nothing if the number of digests does not belong to the size.
  static std::optional<MerkleTree> from_frontier(std::uint64_t size, std::vector<Digest> frontier);

  void add(const Digest& leaf, ChainHasher& hasher) { add_subtree(0, leaf, hasher); }
  // The root of the next 2^level leaves at once; the size is a multiple of that.
  void add_subtree(unsigned level, const Digest& root, ChainHasher& hasher);
  // The same of many leaves, with the nodes of a level hashed side by side.
  void add(std::span<const Digest> leaves);
  Digest root(ChainHasher& hasher) const;
  std::uint64_t size() const { return size_; }
  const std::vector<Digest>& frontier() const { return frontier_; }  // largest subtree first

 private:
  std::uint64_t size_ = 0;
  std::vector<Digest> frontier_;
};

}  // namespace aioss::ledger
