// The frames at the front of a window, with what has to be hashed for them computed side by side:
// their leaves, and what the chain must say of each. Judges form only, as parse_frame() does; that
// a frame's chain value is the one computed here is for its reader to check, in order. Reads
// untrusted bytes. One thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "crypto/sha3_lanes.h"
#include "ledger/format/chain.h"
#include "ledger/format/format.h"

namespace aioss::ledger {

// Enough that the lanes are rarely idle; few enough that the bytes are still in a near cache when
// they are looked at again.
inline constexpr std::size_t kFramesAtOnce = 256;

class FrameBatch final {
 public:
  struct Item {
    Frame frame;  // good; its body lies in the window
    Digest leaf{};
    // After this record, if the chain was right before it: the value before an item is taken from
    // the frame before it, which a reader that goes in order has compared with this by then.
    Digest chain{};
  };

  // Takes the good frames at the front of the window, at most `limit` of them, and ends at the
  // first that is not: no item at all means that refused() stands at the front. `before` is the
  // chain value before the window. Items are valid until the next call, and as long as the window.
  void read(ByteView window, const LedgerId& ledger_id, const Digest& before,
            std::size_t limit = kFramesAtOnce);

  std::span<const Item> items() const { return items_; }
  const ParsedFrame& refused() const { return refused_; }

 private:
  void parse(ByteView window, std::size_t limit);
  void hash_leaves(const LedgerId& ledger_id);
  void hash_chain(const Digest& before);

  std::vector<Item> items_;
  ParsedFrame refused_;
  // Kept for their memory.
  std::vector<LeafHead> heads_;
  std::vector<crypto::Message> messages_;
  std::vector<Digest> digests_;
};

}  // namespace aioss::ledger
