#include "http/connection.h"

#include <exception>

#include "base/log.h"

namespace aioss::http {

Connection::Connection(std::shared_ptr<ServerState> server, Socket socket, Peer peer)
    : server_(std::move(server)),
      transport_(std::make_shared<Transport>(std::move(socket))),
      peer_(std::move(peer)) {}

Connection::~Connection() {
  hold_body(0);
  transport_->close();
  if (!registered_) return;
  server_->connections.erase(this);
  --server_->counters.connections_open;
}

net::awaitable<void> Connection::run() {
  registered_ = true;
  server_->connections.insert(this);
  ++server_->counters.connections_open;
  for (bool more = true; more;) more = co_await serve_one();
}

net::awaitable<void> Connection::turn_away() {
  ++server_->farewells;
  ++server_->counters.refused;
  refusal_ = Refusal(503, Code::kBusy, "the server has no connection to spare; try again later");
  co_await refuse();
  --server_->farewells;
}

void Connection::stop() {
  if (idle_) transport_->interrupt();
}

void Connection::abort() {
  transport_->close();
}

// True if the connection may carry another request.
net::awaitable<bool> Connection::serve_one() {
  RequestParser parser(server_->limits);
  const Got got = co_await read_request(parser);
  transport_->clear_deadline();
  bool more = false;
  if (got == Got::kRequest) {
    more = co_await answer(parser);
  } else if (got == Got::kRefused) {
    ++server_->counters.refused;
    parser.take();  // its body is not kept while we say goodbye
    hold_body(0);
    co_await refuse();
  } else if (got == Got::kIdle) {
    co_await leave();
  }
  hold_body(0);
  co_return more;
}

net::awaitable<Connection::Got> Connection::read_request(RequestParser& parser) {
  const Limits& limits = server_->limits;
  bool in_body = false;
  idle_ = input_.empty();
  // A new connection may wait as long as a kept one: clients connect before they have a request.
  transport_->set_deadline(idle_ ? limits.idle_timeout + limits.idle_grace : limits.header_timeout);
  for (;;) {
    if (!input_.empty()) {
      input_.erase(0, parser.feed(input_));
      if (parser.state() == RequestParser::State::kComplete) co_return Got::kRequest;
      if (parser.state() == RequestParser::State::kRefused) {
        refusal_ = parser.refusal();
        co_return Got::kRefused;
      }
      if (!hold_body(parser.body_bytes())) {
        refusal_ = Refusal(503, Code::kBusy, "the server holds too many large requests; try later");
        co_return Got::kRefused;
      }
    }
    if (parser.state() == RequestParser::State::kBody && !in_body) {
      in_body = true;
      if (parser.wants_continue()) {
        // A failure shows in the read that follows.
        co_await transport_->write_all("HTTP/1.1 100 Continue\r\n\r\n", limits.write_timeout);
      }
      transport_->set_deadline(limits.body_timeout);
    }
    if (server_->stopping && idle_) transport_->interrupt();
    const Transport::Read read = co_await transport_->read_some(input_);
    if (read != Transport::Read::kBytes) co_return after_failed_read(parser, read);
    if (idle_) transport_->set_deadline(limits.header_timeout);
    idle_ = false;
  }
}

Connection::Got Connection::after_failed_read(RequestParser& parser, Transport::Read read) {
  if (read == Transport::Read::kGone) return Got::kNothing;
  if (idle_) return read == Transport::Read::kEnd ? Got::kNothing : Got::kIdle;
  const bool in_body = parser.state() == RequestParser::State::kBody;
  if (read == Transport::Read::kTimeout) {
    refusal_ = Refusal(408, Code::kTimeout,
                       in_body ? "the request's body took too long to arrive"
                               : "the request's header section took too long to arrive");
  } else {
    refusal_ = Refusal(400, Code::kInvalidArgument, "the request ends early");
  }
  return Got::kRefused;
}

// Counts this connection's body towards the total of all. False if that is over its limit.
bool Connection::hold_body(std::size_t bytes) {
  std::uint64_t& held = server_->counters.body_bytes_held;
  held += bytes - body_bytes_held_;
  body_bytes_held_ = bytes;
  return bytes == 0 || held <= server_->limits.bodies_bytes_max;
}

net::awaitable<bool> Connection::answer(RequestParser& parser) {
  ++server_->counters.requests;
  AnswerRules rules;
  rules.http_1_0 = parser.http_1_0();
  rules.is_head = parser.is_head();
  rules.keep_alive = parser.keep_alive();
  Answer answer(*transport_, server_->stopping, server_->limits, rules);
  Request request = parser.take();
  hold_body(0);  // the handler has it from here on, for as long as the answer may take
  request.peer = peer_;
  transport_->watch();
  try {
    net::awaitable<void> handling = server_->handler(std::move(request), answer);
    co_await std::move(handling);
  } catch (const std::exception&) {
    // What it says may hold a prompt: it goes nowhere.
    log::error("a request handler ended with an exception");
  }
  if (answer.untouched() && !transport_->gone()) {
    const Refusal fault(500, Code::kInternal, "the server failed to answer this request");
    Response response = error_response(fault);
    (co_await answer.send(std::move(response))).has_value();
  }
  transport_->unwatch();
  if (answer.keeps_connection() && !transport_->gone()) co_return true;
  if (!transport_->gone()) co_await transport_->close_gently(server_->limits.farewell_timeout);
  co_return false;
}

net::awaitable<void> Connection::refuse() {
  Answer answer(*transport_, server_->stopping, server_->limits, AnswerRules());
  Response response = error_response(refusal_);
  const Status sent = co_await answer.send(std::move(response));
  if (sent) co_await transport_->close_gently(server_->limits.farewell_timeout);
}

// A request may be on its way at this very moment. It cannot be answered any more, but it must not
// be met by a reset, which a client takes for a failure of the request: an end without an answer,
// of a request that nobody has seen, is what clients try again on a new connection.
net::awaitable<void> Connection::leave() {
  idle_ = false;  // from here on stop() has nothing to cut short
  std::chrono::milliseconds patience = server_->limits.farewell_timeout;
  if (server_->stopping) patience = server_->limits.stop_farewell_timeout;
  co_await transport_->close_gently(patience);
}

Response Connection::error_response(const Refusal& refusal) const {
  Response response;
  try {
    response = server_->error_body(refusal.error);
  } catch (const std::exception&) {
    response = Response(refusal.status, "text/plain", "");
  }
  response.status = refusal.status;
  return response;
}

}  // namespace aioss::http
