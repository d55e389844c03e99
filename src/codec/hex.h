// Hexadecimal, lower case. Pure functions.
#pragma once

#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace aioss::codec {

std::string to_hex(ByteView bytes);
// Both cases, an even number of digits and nothing else; kInvalidArgument otherwise.
Result<Bytes> from_hex(std::string_view text);

}  // namespace aioss::codec
