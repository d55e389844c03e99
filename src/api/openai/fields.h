// Typed reading of one JSON object, with errors that name the field, the range and the value.
// Values on the stack of a parse; one thread. Sticky: after the first failure every read gives its
// fallback, and finish() tells what was wrong, so that a parser reads as a list of fields with
// their bounds.
//
// null counts as absent, as OpenAI has it. Error messages may hold numbers and field names, never
// text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace aioss::api::openai {

using Json = nlohmann::json;

struct NumberRange {
  double low = 0;
  double high = 0;
  bool low_excluded = false;
};

class Fields final {
 public:
  // `object` outlives the reader and is an object. `prefix` stands before every name in errors:
  // "messages[2].".
  Fields(const Json& object, std::string prefix);
  Fields(const Fields&) = delete;
  Fields& operator=(const Fields&) = delete;

  // The value, or nullptr if it is absent or null.
  const Json* find(std::string_view name) const;
  // The name of a field of this object as errors write it.
  std::string path(std::string_view name) const { return prefix_ + std::string(name); }

  double number(std::string_view name, const NumberRange& range, double fallback);
  std::int64_t integer(std::string_view name, std::int64_t low, std::int64_t high,
                       std::int64_t fallback);
  bool boolean(std::string_view name, bool fallback);
  // Also "" is a value; absent gives nothing.
  std::optional<std::string> text(std::string_view name, std::size_t bytes_max);
  // As text(), but absent, null or "" is an error.
  std::string required_text(std::string_view name, std::size_t bytes_max);

  void fail(std::string_view name, std::string_view what);  // "name what"
  void fail(Error error);                                   // kept only if it is the first
  bool failed() const { return error_.has_value(); }
  Status finish();

 private:
  const Json& object_;
  const std::string prefix_;
  std::optional<Error> error_;
};

// "a string", "an array", …: the type of a value in an error message.
std::string_view type_name(const Json& value);
// The value as an integer: 5, and 5.0 too, as some clients write it. Nothing if it is not whole or
// does not fit in 64 bits with a sign.
std::optional<std::int64_t> whole_number(const Json& value);
// A number from a request, short: "3.5", "1e+30".
std::string show(const Json& number);
// A name from a request made fit for a message: printable ASCII, at most 64 characters.
std::string show_name(std::string_view name);

}  // namespace aioss::api::openai
