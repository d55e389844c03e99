// HTTP/1.1 on loopback TCP and Unix sockets: parsing, limits, keep-alive, chunked streams,
// disconnects. Knows no word of models. One io thread runs everything here: handlers are coroutines
// on it and need no locks. The only user of Boost.Asio and Beast, with src/server.
//
// g++ 12 rules for coroutines (tests/toolchain): no capturing lambda and no aggregate temporary in
// a full expression with co_await; parameters by value, of types with constructors; no co_await in
// the condition of an if, while or switch whose body has a co_return (`if (!co_await f()) co_return
// x;` corrupts the frame): name the result first.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace aioss::http {

namespace net = boost::asio;

struct Limits {
  std::size_t header_bytes_max = 16 * 1024;          // 431
  std::size_t header_lines_max = 100;                // 431
  std::size_t body_bytes_max = 4 << 20;              // 413
  std::size_t connections_max = 1024;                // the next one gets 503 and is closed
  std::chrono::milliseconds header_timeout{10'000};  // 408; from the first byte of a request
  std::chrono::milliseconds body_timeout{60'000};    // 408
  // Of a connection without a request: between two of them, as promised in each answer
  // (Keep-Alive: timeout=120), and before the first, for browsers and pools connect ahead. Longer
  // than usual clients and proxies keep one themselves (nginx 60 s, Go 90 s), so that it is they
  // who close it and no request of theirs meets a closing connection.
  std::chrono::milliseconds idle_timeout{120'000};
  // Beyond the promise: the way of a request that was sent in its last moment.
  std::chrono::milliseconds idle_grace{5'000};
  std::chrono::milliseconds write_timeout{120'000};  // without any progress: the client is gone
  std::size_t bodies_bytes_max = 256 << 20;          // of all that are being received; over it 503
  // After an answer that ends the connection the client gets this long to read it and to hang up.
  std::chrono::milliseconds farewell_timeout{2'000};
  // The same for a connection without a request when the server stops, which should not take long.
  std::chrono::milliseconds stop_farewell_timeout{250};
};

struct Peer {
  bool unix_socket = false;
  std::uint32_t uid = 0, gid = 0;  // of a Unix peer
  std::string address;             // "127.0.0.1:5555" or "unix:uid=0"
  bool loopback = false;           // over TCP from this machine; also true of a Unix peer
};

using Headers = std::vector<std::pair<std::string, std::string>>;

class Request final {
 public:
  Request() {}         // a constructor, so that it is no aggregate (see above)
  std::string method;  // "GET"
  std::string path;    // percent-decoded, without the query
  std::string query;   // raw
  Headers headers;     // in order, names as sent
  std::string body;
  Peer peer;
  // First value of a header, name compared without case; nothing if absent.
  std::optional<std::string_view> header(std::string_view name) const;
};

class Response final {
 public:
  Response() {}
  Response(int status_code, std::string content_type, std::string body_text);
  int status = 200;
  Headers headers;  // Content-Length, Connection, Keep-Alive and Date are added
  std::string body;
};

// Sets and waits across threads: notify() from anywhere, wait() on the io thread by one coroutine.
// A notify before the wait is not lost. The io_context outlives the event.
class AsyncEvent final : public std::enable_shared_from_this<AsyncEvent> {
 public:
  static std::shared_ptr<AsyncEvent> create(net::io_context& io);
  ~AsyncEvent();
  void notify();  // thread-safe
  // True if notified, false if the time was up first. Resets the event.
  net::awaitable<bool> wait(std::chrono::milliseconds timeout);

 private:
  struct State;
  explicit AsyncEvent(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// The answer to one request. Exactly one of send() or begin() … end() must be called.
class ResponseWriter {
 public:
  virtual ~ResponseWriter() = default;
  virtual net::awaitable<Status> send(Response response) = 0;
  // A chunked answer. write() returns once the kernel has taken the bytes: that wait is the
  // backpressure. kCancelled from any of them: the client is gone.
  virtual net::awaitable<Status> begin(int status, Headers headers) = 0;
  virtual net::awaitable<Status> write(std::string bytes) = 0;
  virtual net::awaitable<Status> end() = 0;
  // Runs `on_gone` once, on the io thread, as soon as the client closes or resets the connection
  // while its answer is being made, also before anything was sent; at once if it is gone already. A
  // client that closes only its sending side counts as gone. Not run after the handler has
  // returned.
  virtual void on_client_gone(std::function<void()> on_gone) = 0;
  virtual bool client_gone() const = 0;
  // It is gone because it read nothing for write_timeout.
  virtual bool client_stalled() const = 0;
};

// May co_await; an exception that escapes becomes a 500 if nothing was sent, and ends the
// connection if an answer had begun. `writer` lives until the handler returns. `request` has passed
// the framing rules (request_parser.h); its Host is well-formed, but whether to serve that host is
// the handler's decision (host_is_loopback). Its body is no longer counted (bodies_bytes_max): a
// handler that waits while it holds one sees to it that all of them together have a bound.
using Handler = std::function<net::awaitable<void>(Request request, ResponseWriter& writer)>;
// The body of an error that the server itself answers (framing, limits, timeouts).
using ErrorBody = std::function<Response(const Error& error)>;

struct Listen {
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;  // 0: any free one
  std::string unix_path;   // "" for none
  bool tcp = true;
};

// Whether a Host (with or without a port) names this machine's loopback: localhost, 127.0.0.0/8,
// ::1. Guards against web pages that reach a local server under a name of their own (DNS
// rebinding).
bool host_is_loopback(std::string_view host);
// An address as a URL and a Host have it: IPv6 in brackets, the others (and names) as they are.
std::string url_host(const std::string& host);

struct Counters {  // since start; read on the io thread
  std::uint64_t connections_accepted = 0, connections_open = 0;
  std::uint64_t requests = 0;         // given to the handler
  std::uint64_t refused = 0;          // requests and connections turned away before it
  std::uint64_t body_bytes_held = 0;  // now, of requests being received
};

// Everything here is called on io's thread, or while nobody runs io.
class Server final {
 public:
  // Binds and listens. kConflict if the port or the Unix socket is in use: the message names it and
  // says what to do. `host` is an address or localhost: nothing is looked up. A Unix socket that
  // nobody listens on any more is replaced; its mode is 0660.
  static Result<std::unique_ptr<Server>> create(net::io_context& io, const Listen& listen,
                                                const Limits& limits, Handler handler,
                                                ErrorBody error_body);
  ~Server();     // cuts what is still open; the handlers of open requests see their client gone
  void start();  // begins to accept
  // Stops accepting; kept connections without a request close, after the short wait that lets a
  // request on its way end without a reset; the others after their answer, which announces it. io
  // runs dry once all have closed, if nothing else is on it.
  void stop();
  std::uint16_t port() const;  // the bound TCP port
  Counters counters() const;

 private:
  class Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace aioss::http
