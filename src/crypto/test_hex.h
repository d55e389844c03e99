// Published vectors are written in hexadecimal; for the tests of this folder only (codec, which
// decodes untrusted hex, is a sibling layer).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace aioss::crypto {

inline Bytes unhex(std::string_view text) {
  Bytes bytes;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const std::string digits(text.substr(i, 2));
    bytes.push_back(static_cast<std::uint8_t>(std::stoi(digits, nullptr, 16)));
  }
  return bytes;
}

}  // namespace aioss::crypto
