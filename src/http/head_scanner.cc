#include "http/head_scanner.h"

#include <algorithm>
#include <array>
#include <utility>

#include "http/text.h"

namespace aioss::http {
namespace {

// What may reach a handler. Others are not offered here at all: 501.
constexpr std::array<std::string_view, 7> kMethods{"GET",    "HEAD",  "POST",   "PUT",
                                                   "DELETE", "PATCH", "OPTIONS"};

bool is_version(std::string_view text) {
  return text.size() == 8 && text.substr(0, 5) == "HTTP/" && text[5] >= '0' && text[5] <= '9' &&
         text[6] == '.' && text[7] >= '0' && text[7] <= '9';
}

bool is_target(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(),
                                      [](char c) { return c > 0x20 && c < 0x7f && c != '#'; });
}

Refusal bad_head(const char* message) {
  return {400, Code::kInvalidArgument, message};
}

}  // namespace

HeadScanner::State HeadScanner::refuse(Refusal refusal) {
  refusal_ = std::move(refusal);
  return state_ = State::kRefused;
}

HeadScanner::State HeadScanner::scan(std::string_view bytes) {
  if (state_ != State::kMore) return state_;
  if (check_first_byte(bytes) != State::kMore) return state_;
  for (;;) {
    const std::size_t feed = bytes.find('\n', searched_);
    const std::size_t line_end = feed == std::string_view::npos ? bytes.size() : feed + 1;
    if (line_end - begin_ > bytes_max_) {
      return refuse({431, Code::kHeaderTooLarge,
                     "the request's header section is larger than " + std::to_string(bytes_max_) +
                         " bytes; send fewer or shorter header fields"});
    }
    if (feed == std::string_view::npos) {
      searched_ = bytes.size();
      return state_;
    }
    if (feed == line_ || bytes[feed - 1] != '\r') {
      return refuse(bad_head("a line of the request's head does not end with CR LF"));
    }
    const std::string_view line = bytes.substr(line_, feed - 1 - line_);
    line_ = searched_ = line_end;
    if (check_line(line) != State::kMore) return state_;
    if (!has_request_line_) {  // the empty line that some clients send after a body
      begin_ = line_;
      if (check_first_byte(bytes) != State::kMore) return state_;
    }
  }
}

// Something that is not HTTP at all, such as a TLS handshake, has no line feed to wait for.
HeadScanner::State HeadScanner::check_first_byte(std::string_view bytes) {
  if (has_request_line_ || bytes.size() <= line_) return state_;
  const char first = bytes[line_];
  if (is_token_char(first) || (first == '\r' && !skipped_empty_line_) || first == '\n') {
    return state_;
  }
  return refuse(bad_head("this is not an HTTP/1.1 request; the server speaks plain HTTP only"));
}

HeadScanner::State HeadScanner::check_line(std::string_view line) {
  if (!line.empty()) {
    if (has_request_line_) return check_field_line(line);
    has_request_line_ = true;
    return check_request_line(line);
  }
  if (has_request_line_) return state_ = State::kComplete;
  if (skipped_empty_line_) return refuse(bad_head("empty lines stand before the request line"));
  skipped_empty_line_ = true;
  return state_;
}

HeadScanner::State HeadScanner::check_request_line(std::string_view line) {
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) {
    return refuse(bad_head("the request line is not METHOD SP TARGET SP VERSION"));
  }
  const std::string_view method = line.substr(0, first);
  const std::string_view version = line.substr(last + 1);
  if (!is_token(method)) return refuse(bad_head("the request's method is not a token"));
  if (!is_target(line.substr(first + 1, last - first - 1))) {
    return refuse(bad_head("the request's target is empty or holds characters it must not"));
  }
  if (!is_version(version)) return refuse(bad_head("the request line names no HTTP version"));
  if (version != "HTTP/1.1" && version != "HTTP/1.0") {
    return refuse({505, Code::kUnsupported, "this server speaks HTTP/1.1 and HTTP/1.0 only"});
  }
  if (std::find(kMethods.begin(), kMethods.end(), method) == kMethods.end()) {
    return refuse({501, Code::kUnsupported, "the request's method is not known to this server"});
  }
  return state_;
}

HeadScanner::State HeadScanner::check_field_line(std::string_view line) {
  if (++fields_ > lines_max_) {
    return refuse({431, Code::kHeaderTooLarge,
                   "the request has more than " + std::to_string(lines_max_) + " header fields"});
  }
  if (line.front() == ' ' || line.front() == '\t') {
    return refuse(bad_head("a header field is folded over lines; send it in one line"));
  }
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return refuse(bad_head("a header field has no colon"));
  if (!is_token(line.substr(0, colon))) {
    return refuse(bad_head("a header field's name is empty or holds characters it must not"));
  }
  if (!is_field_value(line.substr(colon + 1))) {
    return refuse(bad_head("a header field's value holds control characters"));
  }
  return state_;
}

}  // namespace aioss::http
