// Chains of keys: what a receipt's verifier accepts, and everything else.
#include "ledger/format/epochs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "ledger/format/record.h"

namespace aioss::ledger {
namespace {

const LedgerId kLedgerId{1, 2, 3};

std::unique_ptr<crypto::SigningKey> key_of(std::uint8_t seed) {
  return *crypto::SigningKey::from_seed(Bytes(32, seed));
}

Digest root_of(std::uint8_t value) {
  Digest root{};
  root.fill(value);
  return root;
}

// From key `seed` to key `seed` + 1, at this index.
Rotation rotation(std::uint8_t seed, std::uint64_t index) {
  const auto before = key_of(seed);
  const auto after = key_of(static_cast<std::uint8_t>(seed + 1));
  return *sign_rotation(kLedgerId, index, root_of(seed), *before, *after);
}

Bytes frame_of(std::uint64_t index, const codec::Map& body, RecordType type) {
  const Bytes bytes = codec::encode(body);
  Frame frame;
  frame.index = index;
  frame.type = static_cast<std::uint16_t>(type);
  frame.flags = kFlagGroupFirst;
  frame.body = bytes;
  Bytes out;
  encode_frame(frame, out);
  return out;
}

codec::Map body_of(const Rotation& rotation) {
  codec::Map body;
  add_rotation(rotation, "yearly", {"it/alice", "it/bob"}, body);
  return body;
}

Bytes frame_of(const Rotation& rotation) {
  return frame_of(rotation.index, body_of(rotation), RecordType::kKeyRotate);
}

Result<KeyEpochs> epochs_of(const std::vector<Bytes>& frames, const crypto::PublicKey& given) {
  const std::vector<ByteView> views(frames.begin(), frames.end());
  return KeyEpochs::of_frames(kLedgerId, views, given);
}

TEST(KeyEpochs, BodiesComeBack) {
  const Rotation made = rotation(1, 7);
  const auto read = parse_rotation(7, body_of(made));
  ASSERT_TRUE(read.has_value()) << read.error().message;
  EXPECT_EQ(read->old_key, made.old_key);
  EXPECT_EQ(read->new_key, made.new_key);
  EXPECT_EQ(read->by_old, made.by_old);
  EXPECT_EQ(read->by_new, made.by_new);
  EXPECT_EQ(read->root_before, made.root_before);
  KeyEpochs epochs(kLedgerId, made.old_key);
  EXPECT_TRUE(epochs.add(*read).has_value());
}

TEST(KeyEpochs, EachKeyIsInForceFromBehindItsRecord) {
  KeyEpochs epochs(kLedgerId, key_of(1)->public_key());
  ASSERT_TRUE(epochs.add(rotation(1, 7)).has_value());
  ASSERT_TRUE(epochs.add(rotation(2, 8)).has_value());  // the very next record
  const auto in_force = [&](std::uint64_t size) {
    for (std::uint8_t seed = 1; seed <= 3; ++seed) {
      if (epochs.in_force(size) == key_of(seed)->public_key()) return int{seed};
    }
    return 0;
  };
  EXPECT_EQ(in_force(0), 1);
  EXPECT_EQ(in_force(7), 1);
  EXPECT_EQ(in_force(8), 2);
  EXPECT_EQ(in_force(9), 3);
  EXPECT_EQ(in_force(~std::uint64_t{0}), 3);
  EXPECT_TRUE(epochs.contains(key_of(2)->public_key()));
  EXPECT_FALSE(epochs.contains(key_of(4)->public_key()));
  EXPECT_EQ(epochs.newest(), key_of(3)->public_key());
}

TEST(KeyEpochs, AnyKeyOfTheChainTrustsItWhole) {
  const std::vector<Bytes> frames{frame_of(rotation(1, 7)), frame_of(rotation(2, 20))};
  for (std::uint8_t seed = 1; seed <= 3; ++seed) {
    const auto epochs = epochs_of(frames, key_of(seed)->public_key());
    ASSERT_TRUE(epochs.has_value()) << epochs.error().message;
    EXPECT_EQ(epochs->list().size(), 3U);
    EXPECT_EQ(epochs->in_force(20), key_of(2)->public_key());
  }
  EXPECT_FALSE(epochs_of(frames, key_of(4)->public_key()).has_value());
  const auto alone = epochs_of({}, key_of(4)->public_key());
  ASSERT_TRUE(alone.has_value());
  EXPECT_EQ(alone->in_force(5), key_of(4)->public_key());
}

TEST(KeyEpochs, OtherChainsAreRefused) {
  const auto first = key_of(1)->public_key();
  const auto refused = [&](const std::vector<Bytes>& frames) {
    return !epochs_of(frames, first).has_value();
  };
  EXPECT_TRUE(refused({frame_of(rotation(2, 7))}));                            // of another key
  EXPECT_TRUE(refused({frame_of(rotation(1, 7)), frame_of(rotation(3, 9))}));  // one is missing
  EXPECT_TRUE(refused({frame_of(rotation(2, 9)), frame_of(rotation(1, 7))}));  // turned round
  EXPECT_TRUE(refused({frame_of(rotation(1, 7)), frame_of(rotation(2, 7))}));  // one index twice
  EXPECT_TRUE(refused({frame_of(rotation(1, 7)), frame_of(rotation(1, 7))}));  // repeated
  EXPECT_TRUE(refused({frame_of(7, body_of(rotation(1, 7)), RecordType::kRecovery)}));
  EXPECT_TRUE(refused({frame_of(8, body_of(rotation(1, 7)), RecordType::kKeyRotate)}));
  Bytes longer = frame_of(rotation(1, 7));
  longer.insert(longer.end(), 8, 0);
  EXPECT_TRUE(refused({longer}));
  EXPECT_TRUE(refused({Bytes()}));
  // From a key to itself, well signed.
  const auto key = key_of(1);
  EXPECT_TRUE(refused({frame_of(*sign_rotation(kLedgerId, 7, root_of(1), *key, *key))}));
  // Of another ledger.
  const auto other = sign_rotation(LedgerId{9}, 7, root_of(1), *key, *key_of(2));
  EXPECT_TRUE(refused({frame_of(*other)}));
}

TEST(KeyEpochs, NoFlippedBitOfARotationIsAccepted) {
  const Rotation good = rotation(1, 7);
  int refused = 0;
  const auto try_flips = [&](auto member) {
    for (std::size_t bit = 0; bit < (good.*member).size() * 8; ++bit) {
      Rotation bad = good;
      auto& bytes = bad.*member;
      bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] ^ (1U << bit % 8));
      KeyEpochs epochs(kLedgerId, good.old_key);
      EXPECT_FALSE(epochs.add(bad).has_value());
      EXPECT_EQ(epochs.list().size(), 1U);
      ++refused;
    }
  };
  try_flips(&Rotation::root_before);
  try_flips(&Rotation::old_key);
  try_flips(&Rotation::new_key);
  try_flips(&Rotation::by_old);
  try_flips(&Rotation::by_new);
  for (const std::uint64_t index : {std::uint64_t{6}, std::uint64_t{8}, std::uint64_t{7} << 32}) {
    Rotation bad = good;
    bad.index = index;
    KeyEpochs epochs(kLedgerId, good.old_key);
    EXPECT_FALSE(epochs.add(bad).has_value());
  }
  EXPECT_EQ(refused, (32 + 32 + 32 + 64 + 64) * 8);
}

TEST(KeyEpochs, BodiesWithoutOneOfTheirKeysAreRefused) {
  const codec::Map whole = body_of(rotation(1, 7));
  namespace own = key::key_rotate;
  for (const auto& [left_out, unused] : whole.entries()) {
    codec::Map body;
    codec::Map other_size;
    for (const auto& [number, value] : whole.entries()) {
      if (number != left_out) body.set(number, value);
      other_size.set(number, number == left_out ? codec::Value::bytes(Bytes(31)) : value);
    }
    const bool needed = left_out != own::kReason && left_out != own::kApprovals;
    EXPECT_EQ(parse_rotation(7, body).has_value(), !needed) << left_out;
    EXPECT_EQ(parse_rotation(7, other_size).has_value(), !needed) << left_out;
  }
}

TEST(KeyEpochs, TheSignerOfANoteIsFound) {
  KeyEpochs epochs(kLedgerId, key_of(1)->public_key());
  ASSERT_TRUE(epochs.add(rotation(1, 7)).has_value());
  const auto signer = [&](std::uint8_t seed, std::string_view origin) {
    const auto text = sign_checkpoint({"a.test/x", 5, root_of(5)}, *key_of(seed));
    return signer_of(*parse_note(*text), origin, epochs);
  };
  EXPECT_EQ(signer(1, "a.test/x"), key_of(1)->public_key());
  EXPECT_EQ(signer(2, "a.test/x"), key_of(2)->public_key());
  EXPECT_EQ(signer(3, "a.test/x"), std::nullopt);
  EXPECT_EQ(signer(1, "b.test/x"), std::nullopt);
}

}  // namespace
}  // namespace aioss::ledger
