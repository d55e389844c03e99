// Memory for the states of prefixes, as gateway and workers share it: layout and the check of an
// entry. The worker of a model fills it (worker/state_arena.h); while no worker has it, the gateway
// takes entries to the disk and puts them back (runtime/prefixes/prefix_disk.h), and looks into
// none.
//
// Layout, native byte order (it never leaves the machine): a head of 64 bytes, a table of 512
// entries of 64 bytes, then extents that begin on multiples of 4,096. An extent has an entry's
// tokens, then, from a multiple of 64 on, its state. An entry counts once its mark says so, which
// is written last and taken away first: a worker that is killed at any point leaves whole entries
// or none. What is found is untrusted: bounds and a SHA3-256 of entry and tokens are checked before
// anything is believed; the state itself has the engine's checksum.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/bytes.h"
#include "ipc/limits.h"

namespace aioss::ipc {

inline constexpr std::uint64_t kPrefixMagic = 0x3230'7865'6670'7361;  // "aspfex02"
inline constexpr std::uint32_t kPrefixWhole = 0x454c'4f48;  // the mark of an entry that counts
inline constexpr std::size_t kPrefixTokensMax = std::size_t{1} << 24;  // of an entry
inline constexpr std::uint64_t kPrefixPage = 4096;

struct PrefixHead {
  std::uint64_t magic;
  std::uint64_t bytes;  // of the whole
  std::uint64_t unused[6];
};

struct PrefixRecord {
  std::uint32_t mark;
  std::uint32_t token_count;
  std::uint64_t tenant;
  std::uint64_t offset, size;  // of the extent
  std::uint64_t state_bytes;
  std::uint8_t digest[16];
  std::uint64_t owner;  // whose prompt it was: Submit::owner
};
static_assert(sizeof(PrefixHead) == 64 && sizeof(PrefixRecord) == 64);

inline constexpr std::uint64_t kPrefixDataFrom =
    (sizeof(PrefixHead) + kPrefixesMax * sizeof(PrefixRecord) + kPrefixPage - 1) / kPrefixPage *
    kPrefixPage;

// Of the tokens of an entry, with what lies behind them up to its state.
std::uint64_t prefix_tokens_bytes(std::uint64_t tokens);
// The extent that an entry needs: whole pages.
std::uint64_t prefix_extent_bytes(std::uint64_t tokens, std::uint64_t state_bytes);
// Of all that the entry says of itself, and of its tokens.
Digest prefix_digest(const PrefixRecord& of, std::span<const std::int32_t> tokens);

// What an entry names, if it counts and lies wholly in `memory` (of which whole pages are used).
// `found` is a copy: the memory may be written to by others.
struct PrefixParts {
  std::span<const std::int32_t> tokens;
  ByteView state;
};
std::optional<PrefixParts> whole_prefix(const PrefixRecord& found, ByteView memory);

}  // namespace aioss::ipc
