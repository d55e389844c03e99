// JSON in and out. In: strict RFC 8259 and UTF-8, within limits that hold before memory is spent,
// and without duplicate keys (two readers of {"a":1,"a":2} need not agree). Out: compact, one line;
// invalid UTF-8 becomes U+FFFD. Nothing throws. Pure functions.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/result.h"

namespace aioss::codec {

using Json = nlohmann::json;                 // objects sorted by key
using OrderedJson = nlohmann::ordered_json;  // objects as they were built

struct JsonLimits {
  std::size_t bytes_max = 4U << 20;  // of a request body
  std::size_t depth_max = 64;        // our deepest legitimate request has 6
  std::size_t nodes_max = 100'000;   // about 100 bytes of memory each
};

// kTooLarge over bytes_max, else kInvalidArgument with line, column (in bytes, from 1) and what is
// wrong. Messages never quote the document.
Result<Json> parse_json(std::string_view text, const JsonLimits& limits = {});

std::string dump_json(const Json& value);
std::string dump_json(const OrderedJson& value);

}  // namespace aioss::codec
