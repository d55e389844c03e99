#include "http/request_parser.h"

#include <algorithm>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/verb.hpp>
#include <utility>

#include "base/assert.h"
#include "base/strings.h"
#include "http/text.h"

namespace aioss::http {
namespace {

namespace beast_http = boost::beast::http;
using BeastText = boost::beast::string_view;
using BeastError = boost::beast::error_code;

// Lines of one chunk's framing (its extensions), and the whole trailer section.
constexpr std::size_t kChunkLineBytesMax = 4096;
// A chunked body may take this many bytes on the wire for each byte of the limit: six is one byte a
// chunk; the rest allows for short extensions. More is an attempt to keep us busy.
constexpr std::uint64_t kChunkOverheadMax = 8;
constexpr std::uint64_t kChunkOverheadFloor = 64 * 1024;

std::string_view view(BeastText text) {
  return {text.data(), text.size()};
}

// Collects the start line and the fields. It is told to skip the body: that is ours.
class HeadParser final : public beast_http::basic_parser<true> {
 public:
  explicit HeadParser(Request& request) : request_(request) { skip(true); }
  std::string target;
  int version = 0;

 private:
  void on_request_impl(beast_http::verb, BeastText method, BeastText path, int number,
                       BeastError& ec) override {
    request_.method = view(method);
    target = view(path);
    version = number;
    ec = {};
  }
  void on_field_impl(beast_http::field, BeastText name, BeastText value, BeastError& ec) override {
    request_.headers.emplace_back(view(name), trim_ows(view(value)));
    ec = {};
  }
  void on_response_impl(int, BeastText, int, BeastError&) override { ASSERT(false); }
  void on_header_impl(BeastError& ec) override { ec = {}; }
  void on_finish_impl(BeastError& ec) override { ec = {}; }
  // Never called with skip(true).
  void on_body_init_impl(const boost::optional<std::uint64_t>&, BeastError&) override {
    ASSERT(false);
  }
  std::size_t on_body_impl(BeastText, BeastError&) override {
    ASSERT(false);
    return 0;
  }
  void on_chunk_header_impl(std::uint64_t, BeastText, BeastError&) override { ASSERT(false); }
  std::size_t on_chunk_body_impl(std::uint64_t, BeastText, BeastError&) override {
    ASSERT(false);
    return 0;
  }

  Request& request_;
};

Refusal bad_request(std::string message, std::string field = {}) {
  return {400, Code::kInvalidArgument, std::move(message), std::move(field)};
}

constexpr const char* kUnclearLength =
    "the length of the body is unclear: send one Content-Length, a plain number, or one "
    "Transfer-Encoding: chunked, not both";

Refusal refusal_of(BeastError error) {
  if (error == beast_http::error::bad_transfer_encoding) {
    return bad_request(kUnclearLength, "Transfer-Encoding");
  }
  if (error == beast_http::error::bad_content_length ||
      error == beast_http::error::multiple_content_length) {
    return bad_request(kUnclearLength, "Content-Length");
  }
  if (error == beast_http::error::bad_value) {
    return bad_request("a header field's value is malformed");
  }
  return bad_request("the request's head is malformed");
}

Refusal body_too_large(std::size_t bytes_max) {
  return {413, Code::kTooLarge,
          "the request's body is larger than " + std::to_string(bytes_max) + " bytes"};
}

bool is_authority(std::string_view text) {
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    constexpr std::string_view kOthers = "-._~:[]%!$&'()*+;=";
    if (!plain && kOthers.find(c) == std::string_view::npos) return false;
  }
  return !text.empty();
}

}  // namespace

RequestParser::RequestParser(const Limits& limits)
    : limits_(limits),
      scanner_(limits.header_bytes_max, limits.header_lines_max),
      chunks_(limits.body_bytes_max, kChunkLineBytesMax) {}

void RequestParser::refuse(Refusal refusal) {
  refusal_ = std::move(refusal);
  state_ = State::kRefused;
  request_ = Request();
}

std::size_t RequestParser::feed(std::string_view input) {
  ASSERT(state_ == State::kHead || state_ == State::kBody);
  std::size_t taken = 0;
  if (state_ == State::kHead) taken = parse_head(input);
  if (state_ == State::kBody) take_body(input, taken);
  return taken;
}

std::size_t RequestParser::parse_head(std::string_view input) {
  const HeadScanner::State scanned = scanner_.scan(input);
  if (scanned == HeadScanner::State::kMore) return 0;
  if (scanned == HeadScanner::State::kRefused) {
    refuse(scanner_.refusal());
    return 0;
  }
  const std::string_view head = input.substr(scanner_.begin(), scanner_.end() - scanner_.begin());
  HeadParser parser(request_);
  parser.header_limit(static_cast<std::uint32_t>(head.size() + 1));  // the scanner has checked it
  BeastError error;
  const std::size_t used = parser.put(net::const_buffer(head.data(), head.size()), error);
  if (error || used != head.size() || !parser.is_done()) {
    refuse(refusal_of(error));
    return scanner_.end();
  }
  http_1_0_ = parser.version == 10;
  std::string connection;
  for (const auto& [name, value] : request_.headers) {
    if (iequals(name, "Connection")) connection += value + ",";
  }
  keep_alive_ = !http_1_0_ || list_has(connection, "keep-alive");
  if (list_has(connection, "close")) keep_alive_ = false;
  state_ = State::kBody;
  if (auto wrong = check_target(parser.target)) refuse(std::move(*wrong));
  if (auto wrong = check_host(); wrong && state_ == State::kBody) refuse(std::move(*wrong));
  if (auto wrong = check_framing(); wrong && state_ == State::kBody) refuse(std::move(*wrong));
  if (auto wrong = check_expectation(); wrong && state_ == State::kBody) refuse(std::move(*wrong));
  return scanner_.end();
}

std::size_t RequestParser::count(std::string_view name) const {
  std::size_t found = 0;
  for (const auto& header : request_.headers) found += iequals(header.first, name) ? 1 : 0;
  return found;
}

std::optional<Refusal> RequestParser::check_target(std::string_view target) {
  if (target == "*") {
    if (request_.method != "OPTIONS") return bad_request("only OPTIONS may ask for *");
    request_.path = "*";
    return std::nullopt;
  }
  constexpr std::string_view kScheme = "http://";
  if (iequals(target.substr(0, kScheme.size()), kScheme)) {
    target.remove_prefix(kScheme.size());
    const std::size_t slash = target.find_first_of("/?");
    authority_ = target.substr(0, slash);
    absolute_ = true;
    target = slash == std::string_view::npos ? std::string_view{} : target.substr(slash);
  } else if (target.front() != '/') {
    return bad_request("the request's target does not begin with /");
  }
  const std::size_t mark = target.find('?');
  if (mark != std::string_view::npos) request_.query = target.substr(mark + 1);
  const std::string_view raw = target.substr(0, mark);
  std::optional<std::string> path = decode_path(raw.empty() ? "/" : raw);
  if (!path) return bad_request("the request's path is not UTF-8 text with whole % escapes");
  request_.path = std::move(*path);
  return std::nullopt;
}

std::optional<Refusal> RequestParser::check_host() {
  const std::size_t hosts = count("Host");
  if (hosts > 1) return bad_request("the request has more than one Host", "Host");
  if (hosts == 0) {
    if (http_1_0_) return std::nullopt;
    return bad_request("the request has no Host, which HTTP/1.1 demands", "Host");
  }
  const std::string_view host = *request_.header("Host");
  if (!is_authority(host)) return bad_request("the request's Host is malformed", "Host");
  if (absolute_ && !iequals(host, authority_)) {
    return bad_request("the request's target and its Host name different hosts", "Host");
  }
  return std::nullopt;
}

std::optional<Refusal> RequestParser::check_framing() {
  const std::size_t lengths = count("Content-Length");
  const std::size_t codings = count("Transfer-Encoding");
  if (lengths + codings == 0) return std::nullopt;
  if (lengths + codings > 1) return bad_request(kUnclearLength);
  if (codings == 1) {
    if (http_1_0_) {
      return bad_request("HTTP/1.0 has no Transfer-Encoding", "Transfer-Encoding");
    }
    if (!iequals(*request_.header("Transfer-Encoding"), "chunked")) {
      return Refusal(501, Code::kUnsupported, "the only Transfer-Encoding offered is chunked",
                     "Transfer-Encoding");
    }
    chunked_ = true;
    return std::nullopt;
  }
  const std::string_view text = *request_.header("Content-Length");
  // Beast takes "5, 5" and "+5"; no other reader on the way need agree.
  const std::optional<std::uint64_t> length = parse_u64(text);
  if (!length) return bad_request(kUnclearLength, "Content-Length");
  body_left_ = *length;
  if (body_left_ > limits_.body_bytes_max) return body_too_large(limits_.body_bytes_max);
  return std::nullopt;
}

std::optional<Refusal> RequestParser::check_expectation() {
  const std::optional<std::string_view> expectation = request_.header("Expect");
  if (!expectation || http_1_0_) return std::nullopt;
  if (count("Expect") > 1 || !iequals(*expectation, "100-continue")) {
    return Refusal(417, Code::kUnsupported, "the only expectation met is 100-continue", "Expect");
  }
  wants_continue_ = chunked_ || body_left_ > 0;
  return std::nullopt;
}

void RequestParser::take_body(std::string_view input, std::size_t& taken) {
  input.remove_prefix(taken);
  if (!input.empty()) wants_continue_ = false;  // it did not wait
  if (!chunked_) {
    const auto here = static_cast<std::size_t>(std::min<std::uint64_t>(body_left_, input.size()));
    request_.body.append(input, 0, here);
    body_left_ -= here;
    taken += here;
    if (body_left_ == 0) state_ = State::kComplete;
    return;
  }
  const std::size_t here = chunks_.feed(input, request_.body);
  taken += here;
  body_wire_bytes_ += here;
  const bool wasteful =
      body_wire_bytes_ > kChunkOverheadMax * limits_.body_bytes_max + kChunkOverheadFloor;
  switch (chunks_.state()) {
    case ChunkDecoder::State::kComplete:
      state_ = State::kComplete;
      return;
    case ChunkDecoder::State::kTooLarge:
      return refuse(body_too_large(limits_.body_bytes_max));
    case ChunkDecoder::State::kMalformed:
      return refuse(bad_request("the request's chunked body is malformed"));
    case ChunkDecoder::State::kMore:
      if (wasteful) refuse(body_too_large(limits_.body_bytes_max));
      return;
  }
}

}  // namespace aioss::http
