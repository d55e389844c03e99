// Base64 of RFC 4648 section 4, with padding, strict: one byte string has exactly one text. Pure
// functions.
#pragma once

#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace aioss::codec {

std::string to_base64(ByteView bytes);
// Refuses white space, missing or misplaced padding and non-zero spare bits (kInvalidArgument).
Result<Bytes> from_base64(std::string_view text);

}  // namespace aioss::codec
