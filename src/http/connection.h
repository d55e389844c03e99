// One client's connection: reads a request, has it answered, and again, until either side is done.
// io thread only. Shared by the coroutine that runs it and by nothing else; the server knows it by
// a plain pointer while it is registered.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <unordered_set>
#include <utility>

#include "http/answer.h"
#include "http/refusal.h"
#include "http/request_parser.h"
#include "http/server.h"
#include "http/transport.h"

namespace aioss::http {

class Connection;

// What all connections of a server have in common. Outlives the server if connections do.
struct ServerState {
  ServerState(const Limits& l, Handler h, ErrorBody e)
      : limits(l), handler(std::move(h)), error_body(std::move(e)) {}
  const Limits limits;
  const Handler handler;
  const ErrorBody error_body;
  Counters counters;
  bool stopping = false;
  std::size_t farewells = 0;  // refused connections that are still being told so
  std::unordered_set<Connection*> connections;
};

class Connection final {
 public:
  Connection(std::shared_ptr<ServerState> server, Socket socket, Peer peer);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  net::awaitable<void> run();
  // Instead of run(): 503 and goodbye.
  net::awaitable<void> turn_away();
  void stop();   // says goodbye now if no request has begun; else after its answer
  void abort();  // closes now

 private:
  enum class Got { kRequest, kRefused, kIdle, kNothing };  // kIdle: it is we who want to leave

  net::awaitable<bool> serve_one();
  net::awaitable<Got> read_request(RequestParser& parser);
  Got after_failed_read(RequestParser& parser, Transport::Read read);
  bool hold_body(std::size_t bytes);
  net::awaitable<bool> answer(RequestParser& parser);
  net::awaitable<void> refuse();  // with refusal_
  net::awaitable<void> leave();   // a client that asks nothing
  Response error_response(const Refusal& refusal) const;

  const std::shared_ptr<ServerState> server_;
  const std::shared_ptr<Transport> transport_;
  const Peer peer_;
  std::string input_;  // received, not yet taken by a request
  Refusal refusal_;
  std::size_t body_bytes_held_ = 0;
  bool registered_ = false;
  bool idle_ = false;  // waits for the first byte of a request
};

}  // namespace aioss::http
