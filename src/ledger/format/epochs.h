// Which key signs for which part of a ledger. GENESIS names the first; each KEY_ROTATE puts another
// in force, signed by both. Fed by the walk with what it reads, and by receipts and bundles with
// KEY_ROTATE frames alone; every byte of either is untrusted. Rules: docs/formats/ledger.md,
// sections 5 and 6. Values; one thread at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "codec/cbor.h"
#include "crypto/ed25519.h"
#include "ledger/format/checkpoint.h"
#include "ledger/format/format.h"

namespace aioss::ledger {

// What is kept of each is 40 bytes. A ledger that rotates every hour reaches this in seven years;
// a verifier calls more of them tampering, so that its memory is bounded.
inline constexpr std::size_t kEpochsMax = 65'536;

// What a KEY_ROTATE says. Statement signed by both keys: "aioss/rotate/v1\n" ‖ ledger_id ‖ u64
// index ‖ root_before ‖ old_key ‖ new_key.
struct Rotation {
  std::uint64_t index = 0;  // of its record
  Digest root_before{};     // of the tree over the records before it
  crypto::PublicKey old_key{}, new_key{};
  crypto::Signature by_old{}, by_new{};
};
// kCorrupt, naming what is missing or of another size.
Result<Rotation> parse_rotation(std::uint64_t index, const codec::Map& body);
Result<Rotation> sign_rotation(const LedgerId& ledger_id, std::uint64_t index,
                               const Digest& root_before, const crypto::SigningKey& old_key,
                               const crypto::SigningKey& new_key);
// Sets the own keys of a KEY_ROTATE in `body`.
void add_rotation(const Rotation& rotation, std::string_view reason,
                  const std::vector<std::string>& approvals, codec::Map& body);

struct KeyEpoch {
  std::uint64_t first_size = 0;  // the least size that a checkpoint signed by the key may have
  crypto::PublicKey public_key{};
};

class KeyEpochs final {
 public:
  KeyEpochs() = default;  // of a ledger whose GENESIS was not read yet: no key is in force
  KeyEpochs(const LedgerId& ledger_id, const crypto::PublicKey& first_key)
      : ledger_id_(ledger_id), epochs_{{0, first_key}} {}

  // Whole KEY_ROTATE frames, in order, as a receipt or a bundle carries them. `given` is the key
  // that the verifier holds, of whichever epoch; without frames it is the only one. kCorrupt if the
  // chain does not hold or `given` is not in it.
  static Result<KeyEpochs> of_frames(const LedgerId& ledger_id, std::span<const ByteView> frames,
                                     const crypto::PublicKey& given);

  // The next rotation. kCorrupt: the old key is not in force, both are the same, a signature does
  // not hold, the order is wrong, or there are too many. Whether root_before is the tree's is for
  // whoever has the tree to say.
  Status add(const Rotation& rotation);

  bool empty() const { return epochs_.empty(); }
  const std::vector<KeyEpoch>& list() const { return epochs_; }  // ascending by first_size
  // The key that signs a checkpoint of this size. Not if empty().
  const crypto::PublicKey& in_force(std::uint64_t size) const;
  const crypto::PublicKey& newest() const;  // not if empty()
  bool contains(const crypto::PublicKey& key) const;

 private:
  LedgerId ledger_id_{};
  std::vector<KeyEpoch> epochs_;
};

// The key of the epochs, named by `origin`, whose signature the note carries and which holds; in
// force for its size or not, which is for the caller to compare. Nothing: it is of none of them.
std::optional<crypto::PublicKey> signer_of(const Note& note, std::string_view origin,
                                           const KeyEpochs& epochs);

}  // namespace aioss::ledger
