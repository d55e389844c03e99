#include "cli/residence_options.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/duration.h"
#include "base/strings.h"
#include "runtime/catalogue/catalogue.h"

namespace aioss::cli {
namespace {

constexpr int kPriorityMax = 1000;  // and down to its negative

Error bad(const Config& config, Key key, std::string_view value, const std::string& wanted) {
  return {Code::kUsage, config.origin(key) + ": '" + std::string(value) + "' is not " + wanted,
          std::string(setting(key).name)};
}

// "a, b" as {"a", "b"}.
std::vector<std::string_view> parts_of(const std::string& text) {
  std::vector<std::string_view> parts;
  for (const std::string_view part : split(text, ',')) {
    if (!trim(part).empty()) parts.push_back(trim(part));
  }
  return parts;
}

Result<std::vector<std::string>> names_of(const Config& config, Key key) {
  std::vector<std::string> names;
  for (const std::string_view name : parts_of(config.text(key))) {
    if (!runtime::is_model_name(name)) {
      return bad(config, key, name, "the name of a model; see 'aioss models'");
    }
    names.emplace_back(name);
  }
  if (names.size() <= runtime::kModelsMax) return names;
  return bad(config, key, "…", "a list of at most " + std::to_string(runtime::kModelsMax));
}

std::optional<int> priority_from(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  if (!whole || value > kPriorityMax || value < -kPriorityMax) return std::nullopt;
  return value;
}

Status add_priorities(const Config& config, runtime::GatewayOptions& out) {
  for (const std::string_view part : parts_of(config.text(Key::kModelPriority))) {
    const std::size_t equals = std::min(part.find('='), part.size());
    const std::string_view name = trim(part.substr(0, equals));
    const auto value = priority_from(trim(part.substr(std::min(equals + 1, part.size()))));
    if (!value || !runtime::is_model_name(name)) {
      return bad(config, Key::kModelPriority, part,
                 "NAME=N with a whole number from -" + std::to_string(kPriorityMax) + " to " +
                     std::to_string(kPriorityMax));
    }
    out.priorities.insert_or_assign(std::string(name), *value);
  }
  return ok();
}

}  // namespace

Status add_residence(const Config& config, runtime::GatewayOptions& out) {
  const auto keep = parse_duration(config.text(Key::kKeepAlive));
  if (!keep) {
    return bad(config, Key::kKeepAlive, config.text(Key::kKeepAlive),
               "a duration such as 90s, 5m, 1h30m, 0 or forever, of at most 366 days");
  }
  out.keep_alive = *keep;
  const std::string warm = config.text(Key::kWarmKeepAlive);
  if (warm != "auto") {
    out.warm_keep_alive = parse_duration(warm);
    if (!out.warm_keep_alive) {
      return bad(config, Key::kWarmKeepAlive, warm,
                 "auto, or a duration such as 90s, 5m, 1h30m, 0 or forever, of at most 366 days");
    }
  }
  AIOSS_TRY(out.pin, names_of(config, Key::kPin));
  AIOSS_TRY(out.preload, names_of(config, Key::kPreload));
  out.load_wait =
      std::chrono::seconds(static_cast<std::int64_t>(config.number(Key::kLoadWaitSeconds)));
  return add_priorities(config, out);
}

}  // namespace aioss::cli
