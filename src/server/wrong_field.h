// The refusal of one field or parameter of a request.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace aioss::server {

// kInvalidArgument, "FIELD: WHY", with the field as what is wrong.
inline Error wrong_field(std::string_view field, std::string_view why) {
  return {Code::kInvalidArgument, std::string(field) + ": " + std::string(why), std::string(field)};
}

}  // namespace aioss::server
