// Pruned segments: what a retention drop leaves of a sealed one. seg/N.pruned is the segment's
// header, byte for byte, then items on multiples of 8 bytes: whole frames of the records that must
// stay readable (survives_pruning), and in place of each run of others their leaf hashes:
//
//   0 "ALEF"  4 u32 count  8 u64 first index  16 u32 CRC-32C of bytes 0–15 ‖ 20–end  20 u32 0
//   24 count × leaf hash[32]
//
// little-endian, 1 to 2,048 hashes an item. Chain and tree go over leaf hashes, so both verify as
// before. Parsing takes untrusted bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "ledger/format/format.h"
#include "ledger/format/record.h"

namespace aioss::ledger {

inline constexpr std::size_t kLeavesHeadBytes = 24;
inline constexpr std::size_t kLeavesMax = 2'048;  // of an item
// What a reader holds of a file at once holds any item.
static_assert(kLeavesHeadBytes + kLeavesMax * sizeof(Digest) <= kFrameBytesMax);

bool survives_pruning(RecordType type);

struct Leaves {  // one item
  std::uint64_t first_index = 0;
  std::size_t count = 0;
  ByteView hashes;        // into the bytes given
  std::size_t bytes = 0;  // of the whole item
  Digest at(std::size_t i) const;
};
struct ParsedLeaves {
  Form form = Form::kDamaged;
  std::string_view problem;
  Leaves leaves;
};
bool begins_with_leaves(ByteView bytes);
// Of the item at the start of `bytes`, which may hold more.
ParsedLeaves parse_leaves(ByteView bytes);
// Appends one item of 1 to kLeavesMax hashes.
void encode_leaves(std::uint64_t first_index, std::span<const Digest> hashes, Bytes& out);

// "00000000000000000000.pruned"
std::string pruned_file_name(std::uint64_t first_index);
std::optional<std::uint64_t> parse_pruned_file_name(std::string_view name);

}  // namespace aioss::ledger
