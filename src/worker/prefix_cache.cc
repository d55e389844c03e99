#include "worker/prefix_cache.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace aioss::worker {
namespace {

// So that a byte's worth of tokens is a number near 1: a token's state has some 10 KiB.
constexpr double kBytesPerToken = 10'000;

}  // namespace

PrefixCache::PrefixCache(os::SharedMapping memory, TakeOver when)
    : arena_(std::move(memory)), entries_(StateArena::kEntriesMax) {
  if (when == TakeOver::kNow) take_over();
}

void PrefixCache::take_over() {
  if (std::exchange(taken_over_, true)) return;
  for (StateArena::Entry& found : arena_.adopt()) {
    const std::uint64_t tenant = found.whose.tenant;
    if (trees_[tenant].at(found.tokens)) {  // twice: no cache of ours does that
      arena_.drop(found.number);
      continue;
    }
    const std::uint64_t bytes = arena_.state(found.number).size();
    entries_[found.number] = {tenant, std::move(found.tokens), bytes, 0, 0, false};
    keep(found.number, bytes);
  }
  if (cleared_) clear();
}

TokenTree::Found PrefixCache::find(std::uint64_t tenant, std::span<const Token> prompt) const {
  const auto tree = trees_.find(tenant);
  return tree == trees_.end() ? TokenTree::Found{} : tree->second.find(prompt);
}

void PrefixCache::revalue(Entry& entry) {
  const double saved = static_cast<double>(entry.tokens.size()) * kBytesPerToken /
                       static_cast<double>(std::max<std::uint64_t>(entry.bytes, 1));
  entry.value = age_ + saved * (1.0 + entry.uses);
}

void PrefixCache::was_of_use(Number number) {
  Entry& entry = entries_[number];
  ++entry.uses;
  revalue(entry);
}

bool PrefixCache::drop_least() {
  const Entry* least = nullptr;
  for (const Entry& entry : entries_) {
    if (entry.kept && (least == nullptr || entry.value < least->value)) least = &entry;
  }
  if (least == nullptr) return false;
  age_ = std::max(age_, least->value);
  drop(static_cast<Number>(least - entries_.data()));
  return true;
}

std::optional<PrefixCache::Number> PrefixCache::make_room(Whose whose,
                                                          std::span<const Token> tokens,
                                                          std::size_t state_bytes) {
  if (!taken_over_ || !arena_.could_hold(tokens.size(), state_bytes)) return std::nullopt;
  for (;;) {
    if (const auto number = arena_.reserve(whose, tokens, state_bytes)) {
      entries_[*number] = {whose.tenant, {tokens.begin(), tokens.end()}, state_bytes, 0, 0, false};
      return number;
    }
    if (!drop_least()) return std::nullopt;
  }
}

void PrefixCache::keep(Number number, std::size_t state_bytes) {
  Entry& entry = entries_[number];
  ASSERT(!entry.tokens.empty() && !entry.kept);
  arena_.commit(number, state_bytes);
  entry.bytes = state_bytes;
  entry.kept = true;
  ++size_;
  trees_[entry.tenant].insert(entry.tokens, number);
  revalue(entry);
}

void PrefixCache::drop(Number number) {
  Entry& entry = entries_[number];
  ASSERT(!entry.tokens.empty());
  if (entry.kept) {
    const auto tree = trees_.find(entry.tenant);
    tree->second.erase(entry.tokens);
    if (tree->second.empty()) trees_.erase(tree);
    --size_;
  }
  std::fill(entry.tokens.begin(), entry.tokens.end(), Token{0});  // somebody's prompt
  entry = Entry{};
  arena_.drop(number);
}

void PrefixCache::clear() {
  cleared_ = !taken_over_;
  for (Number number = 0; number < entries_.size(); ++number) {
    if (entries_[number].kept) drop(number);
  }
}

}  // namespace aioss::worker
