// Every field of the two generation requests, once: what is used, what is accepted and changes
// nothing, what is refused because ignoring it would lose meaning. docs/api.md lists the same
// fields; a test compares the two. Pure data and functions.
#pragma once

#include <span>
#include <string_view>

#include "api/openai/fields.h"
#include "base/result.h"

namespace aioss::api::openai {

enum class Endpoint { kChat, kCompletion };

enum class Treatment {
  kUsed,     // read by the parser
  kIgnored,  // any value of the right type, without effect on the answer
  kRefused,  // only the values that ask for nothing
};

struct FieldRule {
  std::string_view name;
  bool chat = false;
  bool completion = false;
  Treatment treatment = Treatment::kUsed;
  // kIgnored: is it of the right type? kRefused: does this value ask for nothing?
  bool (*accepts)(const Json& value) = nullptr;
  std::string_view explanation;  // ends "FIELD …" in the error
};

std::span<const FieldRule> field_rules();

// Unknown fields, ignored fields of a wrong type and refused fields. Used fields are left to the
// parser.
Status check_fields(const Json& object, Endpoint endpoint);

// The unknown fields of a nested object: everything in it must be in `known`.
Status check_known(const Json& object, std::string_view prefix,
                   std::span<const std::string_view> known);

}  // namespace aioss::api::openai
