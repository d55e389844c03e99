#include "worker/ngram_index.h"

#include <algorithm>

#include "base/assert.h"

namespace aioss::worker {
namespace {

constexpr std::size_t kShortest = 2;
constexpr std::size_t kLongest = 4;
constexpr std::size_t kSlotsMin = 256;
// Three n-grams end at each token: a quarter of the slots stays free at least.
constexpr std::size_t kSlotsPerToken = 4;

// splitmix64's finalizer (S. Vigna): every bit of the result depends on every bit of the input.
std::uint64_t mix(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

// Of the n-grams that end before `end`, by their length.
struct Hashes {
  std::uint64_t of[kLongest + 1] = {};
};

Hashes hashes_at(std::span<const Token> tokens, std::size_t end) {
  Hashes hashes;
  std::uint64_t hash = 0;
  for (std::size_t n = 1; n <= std::min(kLongest, end); ++n) {
    hash = mix(hash ^ static_cast<std::uint32_t>(tokens[end - n]));
    hashes.of[n] = hash;
  }
  return hashes;
}

}  // namespace

void NgramIndex::insert(std::span<const Token> tokens, std::size_t end) {
  const Hashes hashes = hashes_at(tokens, end);
  for (std::size_t n = kShortest; n <= std::min(kLongest, end); ++n) {
    slots_[hashes.of[n] & (slots_.size() - 1)] = static_cast<std::uint32_t>(end);
  }
}

void NgramIndex::catch_up(std::span<const Token> tokens) {
  ASSERT(tokens.size() <= UINT32_MAX);
  if (slots_.size() < tokens.size() * kSlotsPerToken || slots_.empty()) {
    std::size_t slots = std::max(slots_.size(), kSlotsMin);
    while (slots < tokens.size() * kSlotsPerToken) slots *= 2;
    slots_.assign(slots, 0);
    next_end_ = 0;
  }
  // The last n-grams have no follower yet: they are looked for, not found.
  for (std::size_t end = std::max(next_end_, kShortest); end < tokens.size(); ++end) {
    insert(tokens, end);
  }
  next_end_ = std::max(next_end_, tokens.size());
}

std::size_t NgramIndex::find(std::span<const Token> tokens) const {
  if (slots_.empty()) return 0;
  const Hashes hashes = hashes_at(tokens, tokens.size());
  for (std::size_t n = std::min(kLongest, tokens.size()); n >= kShortest; --n) {
    const std::size_t end = slots_[hashes.of[n] & (slots_.size() - 1)];
    if (end < n || end >= tokens.size()) continue;
    const auto before = tokens.subspan(end - n, n);
    if (std::equal(before.begin(), before.end(), tokens.last(n).begin())) return end;
  }
  return 0;
}

void copy_from(std::span<const Token> tokens, std::size_t from, std::size_t count,
               std::vector<Token>& draft) {
  ASSERT(from < tokens.size());
  const std::size_t begin = draft.size();
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t at = from + i;
    draft.push_back(at < tokens.size() ? tokens[at] : draft[begin + (at - tokens.size())]);
  }
}

}  // namespace aioss::worker
