// Appends JSON to a string: what a streamed chunk is built with, a microsecond each. Pure
// functions. The output is valid JSON whatever the input: bytes that are not UTF-8 become U+FFFD,
// numbers that are not finite become kLogprobFloor.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace aioss::api::openai {

// What OpenAI writes for a probability too small to count. JSON has no infinity.
inline constexpr double kLogprobFloor = -9999.0;

void append_string(std::string& out, std::string_view text);  // quoted and escaped
void append_unsigned(std::string& out, std::uint64_t number);
void append_signed(std::string& out, std::int64_t number);
void append_logprob(std::string& out, float number);  // shortest form that reads back the same
void append_bool(std::string& out, bool value);

}  // namespace aioss::api::openai
