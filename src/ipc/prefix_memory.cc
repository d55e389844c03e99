#include "ipc/prefix_memory.h"

#include <algorithm>

#include "crypto/hash.h"

namespace aioss::ipc {
namespace {

constexpr std::uint64_t kLine = 64;

constexpr std::uint64_t up(std::uint64_t value, std::uint64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace

std::uint64_t prefix_tokens_bytes(std::uint64_t tokens) {
  return up(tokens * sizeof(std::int32_t), kLine);
}

std::uint64_t prefix_extent_bytes(std::uint64_t tokens, std::uint64_t state_bytes) {
  return up(prefix_tokens_bytes(tokens) + state_bytes, kPrefixPage);
}

Digest prefix_digest(const PrefixRecord& of, std::span<const std::int32_t> tokens) {
  const std::uint64_t numbers[] = {of.token_count, of.tenant,      of.offset,
                                   of.size,        of.state_bytes, of.owner};
  return crypto::sha3_256(
      {ByteView(reinterpret_cast<const std::uint8_t*>(numbers), sizeof numbers),
       ByteView(reinterpret_cast<const std::uint8_t*>(tokens.data()), tokens.size_bytes())});
}

std::optional<PrefixParts> whole_prefix(const PrefixRecord& found, ByteView memory) {
  const std::uint64_t used = memory.size() / kPrefixPage * kPrefixPage;
  if (found.mark != kPrefixWhole) return std::nullopt;
  if (found.token_count == 0 || found.token_count > kPrefixTokensMax) return std::nullopt;
  if (found.offset % kPrefixPage != 0 || found.size % kPrefixPage != 0) return std::nullopt;
  if (found.offset < kPrefixDataFrom || found.offset > used) return std::nullopt;
  if (found.size > used - found.offset) return std::nullopt;
  const std::uint64_t before = prefix_tokens_bytes(found.token_count);
  if (before > found.size || found.state_bytes > found.size - before) return std::nullopt;
  const ByteView extent = memory.subspan(found.offset, found.size);
  const PrefixParts parts{{reinterpret_cast<const std::int32_t*>(extent.data()), found.token_count},
                          extent.subspan(before, found.state_bytes)};
  const Digest digest = prefix_digest(found, parts.tokens);
  if (!std::equal(std::begin(found.digest), std::end(found.digest), digest.begin())) {
    return std::nullopt;
  }
  return parts;
}

}  // namespace aioss::ipc
