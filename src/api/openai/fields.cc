#include "api/openai/fields.h"

#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

#include "base/assert.h"

namespace aioss::api::openai {
namespace {

// Largest double below which every whole number is exact.
constexpr double kExactMax = 9007199254740992.0;  // 2^53

std::string show_float(double value) {
  std::array<char, 32> buffer{};
  const auto [end, error] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                          std::chars_format::general, 6);
  return {buffer.data(), error == std::errc() ? end : buffer.data()};
}

bool inside(double value, const NumberRange& range) {
  if (!std::isfinite(value) || value > range.high) return false;
  return range.low_excluded ? value > range.low : value >= range.low;
}

}  // namespace

Fields::Fields(const Json& object, std::string prefix)
    : object_(object), prefix_(std::move(prefix)) {
  ASSERT(object.is_object());
}

const Json* Fields::find(std::string_view name) const {
  const auto it = object_.find(name);
  if (it == object_.end() || it->is_null()) return nullptr;
  return &*it;
}

double Fields::number(std::string_view name, const NumberRange& range, double fallback) {
  const Json* value = find(name);
  if (value == nullptr || failed()) return fallback;
  if (!value->is_number()) {
    fail(name, "must be a number, not " + std::string(type_name(*value)));
    return fallback;
  }
  const double number = value->get<double>();
  if (inside(number, range)) return number;
  const std::string low = range.low_excluded ? "greater than " : "at least ";
  fail(name, "must be " + low + openai::show(Json(range.low)) + " and at most " +
                 openai::show(Json(range.high)) + ", not " + openai::show(*value));
  return fallback;
}

std::int64_t Fields::integer(std::string_view name, std::int64_t low, std::int64_t high,
                             std::int64_t fallback) {
  const Json* value = find(name);
  if (value == nullptr || failed()) return fallback;
  if (!value->is_number()) {
    fail(name, "must be an integer, not " + std::string(type_name(*value)));
    return fallback;
  }
  const auto whole = whole_number(*value);
  if (whole.has_value() && *whole >= low && *whole <= high) return *whole;
  fail(name, "must be an integer from " + std::to_string(low) + " to " + std::to_string(high) +
                 ", not " + openai::show(*value));
  return fallback;
}

bool Fields::boolean(std::string_view name, bool fallback) {
  const Json* value = find(name);
  if (value == nullptr || failed()) return fallback;
  if (value->is_boolean()) return value->get<bool>();
  fail(name, "must be true or false, not " + std::string(type_name(*value)));
  return fallback;
}

std::optional<std::string> Fields::text(std::string_view name, std::size_t bytes_max) {
  const Json* value = find(name);
  if (value == nullptr || failed()) return std::nullopt;
  if (!value->is_string()) {
    fail(name, "must be a string, not " + std::string(type_name(*value)));
    return std::nullopt;
  }
  const auto& text = value->get_ref<const std::string&>();
  if (text.size() > bytes_max) {
    fail(name, "must be at most " + std::to_string(bytes_max) + " bytes long, not " +
                   std::to_string(text.size()));
    return std::nullopt;
  }
  return text;
}

std::string Fields::required_text(std::string_view name, std::size_t bytes_max) {
  auto value = text(name, bytes_max);
  if (!value.has_value()) fail(name, "is required");
  if (value.has_value() && value->empty()) fail(name, "must not be empty");
  return value.value_or("");
}

void Fields::fail(std::string_view name, std::string_view what) {
  if (failed()) return;
  std::string where = path(name);
  std::string message = where + " " + std::string(what);
  error_.emplace(Code::kInvalidArgument, std::move(message), std::move(where));
}

void Fields::fail(Error error) {
  if (!failed()) error_ = std::move(error);
}

Status Fields::finish() {
  if (failed()) return std::move(*error_);
  return ok();
}

std::string_view type_name(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::object:
      return "an object";
    case Json::value_t::array:
      return "an array";
    case Json::value_t::string:
      return "a string";
    case Json::value_t::boolean:
      return "a boolean";
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
    case Json::value_t::number_float:
      return "a number";
    default:
      return "something else";
  }
}

std::optional<std::int64_t> whole_number(const Json& value) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<std::uint64_t>();
    if (number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return {};
    return static_cast<std::int64_t>(number);
  }
  if (value.is_number_integer()) return value.get<std::int64_t>();
  if (!value.is_number_float()) return std::nullopt;
  const auto number = value.get<double>();
  if (!std::isfinite(number) || std::abs(number) > kExactMax) return std::nullopt;
  if (std::trunc(number) != number) return std::nullopt;
  return static_cast<std::int64_t>(number);
}

std::string show(const Json& number) {
  if (number.is_number_unsigned()) return std::to_string(number.get<std::uint64_t>());
  if (number.is_number_integer()) return std::to_string(number.get<std::int64_t>());
  if (number.is_number_float()) return show_float(number.get<double>());
  return std::string(type_name(number));
}

std::string show_name(std::string_view name) {
  constexpr std::size_t kShownMax = 64;
  std::string shown;
  for (const char c : name.substr(0, kShownMax)) {
    const bool printable = c >= 0x20 && c < 0x7F && c != '"' && c != '\'';
    shown += printable ? c : '?';
  }
  if (name.size() > kShownMax) shown += "...";
  return shown;
}

}  // namespace aioss::api::openai
