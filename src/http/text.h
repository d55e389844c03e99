// Small rules of HTTP's grammar (RFC 9110, 9112) as pure functions: tokens, dates, reason phrases,
// percent-encoding. No state, no I/O; thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace aioss::http {

bool is_control(char c);                               // CTL: below a space, or DEL
int hex_value(char c);                                 // of a hexadecimal digit, -1 of others
bool is_token_char(char c);                            // tchar of RFC 9110
bool is_token(std::string_view text);                  // one or more of them
bool is_field_value(std::string_view text);            // no control characters but the tab
bool iequals(std::string_view a, std::string_view b);  // ASCII letters without case
std::string_view trim_ows(std::string_view text);      // spaces and tabs at both ends

// Whether a comma-separated list (of Connection, Expect) holds `token`, compared without case.
bool list_has(std::string_view list, std::string_view token);

// The path of a request, decoded. Nothing if an escape is broken or the result holds control
// characters or is not UTF-8: such a path could not be repeated in a message or a log.
std::optional<std::string> decode_path(std::string_view raw);

std::string_view reason_phrase(int status);
std::string http_date(std::int64_t unix_s);  // "Sun, 06 Nov 1994 08:49:37 GMT"

}  // namespace aioss::http
