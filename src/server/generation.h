// One generation request from its body to the last byte of its answer: parse, submit, and either
// stream the chunks as they become visible or collect them. Lives in the frame of the coroutine
// that answers the request; io thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/openai/request.h"
#include "api/openai/response.h"
#include "base/clock.h"
#include "http/server.h"
#include "runtime/gateway.h"
#include "server/answer_meter.h"
#include "server/http_metrics.h"
#include "server/stream_shelf.h"
#include "server/wishes.h"

namespace aioss::server {

// What every request needs; all of it outlives every request.
struct GenerationContext {
  http::net::io_context& io;
  runtime::Gateway& gateway;
  HttpMetrics& metrics;
  const Clock& clock;
  std::chrono::milliseconds ping_interval;
  StreamShelf& shelf;
};

class Generation final {
 public:
  Generation(const GenerationContext& context, http::ResponseWriter& writer,
             api::openai::Endpoint endpoint, runtime::Principal principal, const Wishes& wishes);
  ~Generation();
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  // Answers the request. The status that was sent, or that of kCancelled if the client left.
  http::net::awaitable<int> run(std::string body);

 private:
  using Event = runtime::StreamEvent;

  Status read_body(std::string body);
  Status take_place();
  Result<std::shared_ptr<runtime::Stream>> submit();
  void attach(std::shared_ptr<runtime::Stream> stream);
  http::net::awaitable<std::optional<Event>> next_event();
  http::net::awaitable<std::optional<Event>> first_event();
  http::net::awaitable<bool> show_progress();
  http::net::awaitable<int> fail_begun(Error error);
  http::net::awaitable<int> answer_error(Error error);
  http::net::awaitable<int> stream_answer();
  http::net::awaitable<int> whole_answer();
  http::net::awaitable<int> kept_answer();
  int client_left();

  void observe(const Event& event);
  api::openai::AnswerFacts facts() const;
  http::Headers headers() const;  // of every answer to a request that was submitted
  http::Headers stream_headers() const;

  const GenerationContext& context_;
  http::ResponseWriter& writer_;
  const runtime::Principal principal_;
  const Wishes wishes_;
  api::openai::ParsedRequest request_;  // its prompt has gone to the gateway
  std::shared_ptr<runtime::Stream> stream_;
  std::shared_ptr<http::AsyncEvent> event_;
  runtime::StreamStarted started_;
  // As its headers name them; absent if there is none, or none yet.
  std::optional<std::uint64_t> request_record_, abort_record_;
  bool begun_ = false;         // its head is sent: its client watches the load
  std::string shown_;          // of the load, last
  std::int64_t shown_ns_ = 0;  // when anything was
  AnswerMeter meter_;
  std::unique_ptr<ShelfPlace> place_;  // of an answer that may outlive its client; goes with it
};

}  // namespace aioss::server
