// For tests of witnesses: ledgers of leaves alone, which grow, fork, rotate their keys and make
// requests, without a disk.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "codec/cbor.h"
#include "ledger/format/chain.h"
#include "ledger/format/epochs.h"
#include "ledger/format/proof.h"
#include "ledger/testing/test_support.h"
#include "ledger/witness/anchor_request.h"
#include "ledger/witness/witness.h"

namespace aioss::ledger::test {

inline std::unique_ptr<crypto::SigningKey> key_of_seed(std::uint8_t first) {
  Bytes seed(32, 0);
  seed[0] = first;
  return *crypto::SigningKey::from_seed(seed);
}

// Two of them with the same name and seed are one ledger whose owner tells two stories: equal up to
// the size at which tell() changed.
class LeafLedger final : public SubtreeSource {
 public:
  explicit LeafLedger(std::string name, std::uint8_t seed = 1)
      : name_(std::move(name)), key_(key_of_seed(seed)) {
    for (std::size_t i = 0; i < id_.size(); ++i) id_[i] = static_cast<std::uint8_t>(seed + i);
  }

  void tell(char story) { story_ = story; }  // of the leaves from here on
  void grow_to(std::uint64_t size) {
    while (leaves_.size() < size) {
      const std::string text = std::string(1, story_) + std::to_string(leaves_.size());
      leaves_.push_back(crypto::sha3_256(as_bytes(text)));
    }
  }
  // The next leaf is a KEY_ROTATE.
  void rotate(std::uint8_t seed) {
    auto next = key_of_seed(seed);
    const std::uint64_t index = leaves_.size();
    const Rotation rotation = *sign_rotation(id_, index, root(index), *key_, *next);
    Frame frame;
    const Bytes body = codec::encode(body_of(rotation));
    frame.index = index;
    frame.type = static_cast<std::uint16_t>(RecordType::kKeyRotate);
    frame.body = body;
    Bytes bytes;
    encode_frame(frame, bytes);
    leaves_.push_back(hasher_.leaf(id_, frame));
    rotations_.emplace_back(index, std::move(bytes));
    key_ = std::move(next);
  }

  Result<Digest> subtree(unsigned level, std::uint64_t first) override {
    return root_over(first, first + (std::uint64_t{1} << level));
  }
  Digest root(std::uint64_t size) { return root_over(0, size); }
  VerifierKey key() const { return {name_, key_->public_key()}; }
  std::string note(std::uint64_t size) {
    return *sign_checkpoint({name_, size, root(size)}, *key_);
  }

  AnchorRequest request(std::uint64_t old_size, std::uint64_t size) {
    AnchorRequest out;
    out.old_size = old_size;
    out.ledger_id = id_;
    for (const auto& [index, frame] : rotations_) {
      if (index >= old_size && index < size) out.key_frames.push_back(frame);
    }
    out.proof = *prove_consistency(*this, old_size, size);
    out.note = *parse_note(note(size));
    return out;
  }
  std::string request_text(std::uint64_t old_size, std::uint64_t size) {
    return format_request(request(old_size, size));
  }

 private:
  static codec::Map body_of(const Rotation& rotation) {
    namespace own = key::key_rotate;
    codec::Map body;
    body.set(own::kOldKey, codec::Value::bytes(rotation.old_key))
        .set(own::kNewKey, codec::Value::bytes(rotation.new_key))
        .set(own::kOldSignature, codec::Value::bytes(rotation.by_old))
        .set(own::kNewSignature, codec::Value::bytes(rotation.by_new))
        .set(own::kReason, codec::Value::text("test"))
        .set(own::kRoot, codec::Value::bytes(rotation.root_before));
    return body;
  }

  Digest root_over(std::uint64_t first, std::uint64_t end) {
    MerkleTree tree;
    for (std::uint64_t i = first; i < end; ++i) tree.add(leaves_[i], hasher_);
    return tree.root(hasher_);
  }

  const std::string name_;
  std::unique_ptr<crypto::SigningKey> key_;
  LedgerId id_{};
  char story_ = 'a';
  std::vector<Digest> leaves_;
  std::vector<std::pair<std::uint64_t, Bytes>> rotations_;
  ChainHasher hasher_;
};

inline constexpr const char* kWitnessFolder = "witness";
inline constexpr const char* kWitnessName = "witness.example/w1";

}  // namespace aioss::ledger::test
