// One request from bytes: the head through HeadScanner and Beast's parser, then rules on what the
// fields mean together (RFC 9112, sections 3 and 6), then the body. What two parsers could read in
// two ways is refused. One object per request; no I/O, so that it can be fuzzed by itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "http/chunk_decoder.h"
#include "http/head_scanner.h"
#include "http/refusal.h"
#include "http/server.h"

namespace aioss::http {

class RequestParser final {
 public:
  enum class State { kHead, kBody, kComplete, kRefused };

  explicit RequestParser(const Limits& limits);

  // Takes bytes from the front of `input` and returns how many. While the head is incomplete it
  // takes none, and wants them again with what followed; after that it takes all that belongs to
  // the request. Not to be called once complete or refused.
  std::size_t feed(std::string_view input);
  State state() const { return state_; }
  const Refusal& refusal() const { return refusal_; }

  // After the head:
  bool wants_continue() const { return wants_continue_; }  // and has a body that has not come yet
  bool keep_alive() const { return keep_alive_; }          // as the client wishes
  bool http_1_0() const { return http_1_0_; }
  bool is_head() const { return request_.method == "HEAD"; }
  std::size_t body_bytes() const { return request_.body.size(); }
  Request take() { return std::move(request_); }

 private:
  void refuse(Refusal refusal);
  std::size_t parse_head(std::string_view input);
  void take_body(std::string_view input, std::size_t& taken);
  // Each returns what is wrong, or nothing.
  std::optional<Refusal> check_target(std::string_view target);
  std::optional<Refusal> check_host();
  std::optional<Refusal> check_framing();
  std::optional<Refusal> check_expectation();
  std::size_t count(std::string_view name) const;

  const Limits limits_;
  HeadScanner scanner_;
  ChunkDecoder chunks_;
  State state_ = State::kHead;
  Refusal refusal_;
  Request request_;
  std::string authority_;  // of a target in absolute form
  bool absolute_ = false;
  bool chunked_ = false;
  bool http_1_0_ = false;
  bool keep_alive_ = false;
  bool wants_continue_ = false;
  std::uint64_t body_left_ = 0;        // of Content-Length
  std::uint64_t body_wire_bytes_ = 0;  // of a chunked body, with its framing
};

}  // namespace aioss::http
