// "Did you mean …": the nearest of a list of known words. Pure functions.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace aioss {

// Longer words are never compared: a name that somebody mistyped is short.
inline constexpr std::size_t kSuggestLengthMax = 64;

// Insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b`; `limit + 1`
// if more than `limit` are needed. Bytes, not characters.
std::size_t edit_distance(std::string_view a, std::string_view b, std::size_t limit);

// The candidate nearest to `word` if it is near enough to be a slip (a third of the word's length,
// at least 1 and at most 3 edits; case and '-'/'_' do not count). The first of equals.
std::optional<std::string> nearest(std::string_view word,
                                   const std::vector<std::string>& candidates);

// " (did you mean 'x'?)", or "" if nothing is near.
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace aioss
