// The answer to one request on its way out: HTTP/1.1's framing over a Transport. It decides whether
// the connection can carry another request. io thread only; lives in the frame of its connection.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "http/server.h"
#include "http/transport.h"

namespace aioss::http {

// How the request limits the answer.
class AnswerRules final {
 public:
  AnswerRules() {}
  bool http_1_0 = false;    // no chunks
  bool is_head = false;     // no body
  bool keep_alive = false;  // the client would send another request
};

class Answer final : public ResponseWriter {
 public:
  // `transport` and `stopping` outlive the answer.
  Answer(Transport& transport, const bool& stopping, const Limits& limits, AnswerRules rules)
      : transport_(transport), stopping_(stopping), limits_(limits), rules_(rules) {}

  net::awaitable<Status> send(Response response) override;
  net::awaitable<Status> begin(int status, Headers headers) override;
  net::awaitable<Status> write(std::string bytes) override;
  net::awaitable<Status> end() override;
  void on_client_gone(std::function<void()> on_gone) override;
  bool client_gone() const override { return transport_.gone(); }
  bool client_stalled() const override { return transport_.stalled(); }

  bool untouched() const { return phase_ == Phase::kFresh; }
  // Whole, and the next request may follow.
  bool keeps_connection() const { return phase_ == Phase::kDone && keep_open_; }

 private:
  enum class Phase { kFresh, kStreaming, kDone };
  enum class Framing { kLength, kChunked, kUntilClose, kNone };

  std::string head(int status, const Headers& headers, Framing framing, std::size_t body_bytes);
  net::awaitable<Status> put(std::string bytes);

  Transport& transport_;
  const bool& stopping_;
  const Limits& limits_;
  const AnswerRules rules_;
  Phase phase_ = Phase::kFresh;
  Framing framing_ = Framing::kNone;
  bool keep_open_ = false;
};

}  // namespace aioss::http
