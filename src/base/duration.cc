#include "base/duration.h"

#include <algorithm>
#include <cstdint>

#include "base/strings.h"

namespace aioss {
namespace {

constexpr std::uint64_t kSecondsMax = static_cast<std::uint64_t>(kDurationMax.count());
constexpr std::uint64_t kMinute = 60, kHour = 3600;
constexpr std::string_view kDigits = "0123456789";

// Of a unit; 0: there is none of that name.
std::uint64_t seconds_of(std::string_view unit) {
  if (unit.empty() || unit == "s") return 1;
  if (unit == "m") return kMinute;
  return unit == "h" ? kHour : 0;
}

// A number and its unit, taken from the front. The last one may go without.
std::optional<std::uint64_t> take_part(std::string_view& text) {
  const std::size_t digits = std::min(text.find_first_not_of(kDigits), text.size());
  const auto number = parse_u64(text.substr(0, digits));
  text.remove_prefix(digits);
  const std::size_t letters = std::min(text.find_first_of(kDigits), text.size());
  const std::uint64_t unit = seconds_of(text.substr(0, letters));
  text.remove_prefix(letters);
  if (!number || unit == 0 || *number > kSecondsMax) return std::nullopt;
  return *number * unit;
}

}  // namespace

std::optional<std::chrono::seconds> parse_duration(std::string_view text) {
  if (text == "forever") return kForever;
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  if (text.empty()) return std::nullopt;
  std::uint64_t total = 0;
  while (!text.empty()) {
    const auto part = take_part(text);
    if (!part) return std::nullopt;
    total += *part;
    if (total > kSecondsMax) return std::nullopt;
  }
  if (negative && total > 0) return kForever;
  return std::chrono::seconds(static_cast<std::int64_t>(total));
}

std::string show_duration(std::chrono::seconds duration) {
  if (duration == kForever) return "forever";
  const auto all = static_cast<std::uint64_t>(duration.count());
  std::string out;
  if (all >= kHour) out += std::to_string(all / kHour) + "h";
  if (all % kHour >= kMinute) out += std::to_string(all % kHour / kMinute) + "m";
  if (all % kMinute > 0 || all == 0) out += std::to_string(all % kMinute) + "s";
  return out;
}

}  // namespace aioss
