#include "base/suggest.h"

#include <algorithm>
#include <array>

#include "base/strings.h"

namespace aioss {
namespace {

using Row = std::array<std::size_t, kSuggestLengthMax + 1>;

std::string folded(std::string_view word) {
  std::string out = ascii_lower(word);
  std::replace(out.begin(), out.end(), '_', '-');
  return out;
}

}  // namespace

std::size_t edit_distance(std::string_view a, std::string_view b, std::size_t limit) {
  const std::size_t far = limit + 1;
  if (a.size() > kSuggestLengthMax || b.size() > kSuggestLengthMax) return far;
  if (std::max(a.size(), b.size()) - std::min(a.size(), b.size()) > limit) return far;
  Row two_ago{}, previous{}, current{};  // rows of the usual table; only three are ever needed
  for (std::size_t j = 0; j <= b.size(); ++j) previous[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    current[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substitution = previous[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      current[j] = std::min({previous[j] + 1, current[j - 1] + 1, substitution});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) current[j] = std::min(current[j], two_ago[j - 2] + 1);
    }
    two_ago = previous;
    previous = current;
  }
  return std::min(previous[b.size()], far);
}

std::optional<std::string> nearest(std::string_view word,
                                   const std::vector<std::string>& candidates) {
  const std::string wanted = folded(word);
  const std::size_t limit = std::clamp<std::size_t>(wanted.size() / 3, 1, 3);
  std::optional<std::string> best;
  std::size_t best_distance = limit + 1;
  for (const std::string& candidate : candidates) {
    const std::size_t distance = edit_distance(wanted, folded(candidate), limit);
    if (distance >= best_distance) continue;
    best_distance = distance;
    best = candidate;
  }
  return best;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates) {
  const std::optional<std::string> found = nearest(word, candidates);
  return found ? " (did you mean '" + *found + "'?)" : "";
}

}  // namespace aioss
