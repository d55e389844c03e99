// Durations as people write them in settings and requests: "90s", "5m", "1h30m", "0", "300"
// (seconds), and "forever", or any negative one, for no end. Pure.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace aioss {

inline constexpr std::chrono::seconds kForever = std::chrono::seconds::max();
inline constexpr std::chrono::seconds kDurationMax = std::chrono::hours(24 * 366);  // a long year

// Nothing if it is no duration, or one over kDurationMax.
std::optional<std::chrono::seconds> parse_duration(std::string_view text);
std::string show_duration(std::chrono::seconds duration);  // "1h30m", "0s", "forever"

}  // namespace aioss
