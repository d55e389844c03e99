// The helpers of test_server.h.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <boost/asio/post.hpp>
#include <cstring>
#include <future>
#include <stdexcept>
#include <utility>

#include "http/test_server.h"
#include "http/text.h"

namespace aioss::http::testing {
namespace {

constexpr int kPatienceMs = 30'000;
constexpr std::size_t kFloodPieces = 2048, kFloodPieceBytes = 16 * 1024;

Response plain(int status, std::string body) {
  return {status, "text/plain", std::move(body)};
}

net::awaitable<void> stream_three(ResponseWriter& writer) {
  Headers headers;
  headers.emplace_back("Content-Type", "text/event-stream");
  (co_await writer.begin(200, std::move(headers))).has_value();
  (co_await writer.write("one")).has_value();
  (co_await writer.write("")).has_value();
  (co_await writer.write("two\r\n")).has_value();
  (co_await writer.write(std::string(20, '3'))).has_value();
  (co_await writer.end()).has_value();
}

// Answers when released; learns at once if the client goes.
net::awaitable<void> wait(Observed* observed, net::io_context* io, bool begun,
                          ResponseWriter& writer) {
  if (begun) {
    (co_await writer.begin(200, Headers())).has_value();
    (co_await writer.write("begun")).has_value();
  }
  const std::shared_ptr<AsyncEvent> wake = begun ? AsyncEvent::create(*io) : observed->release;
  std::function<void()> on_gone = [observed, wake] {
    ++observed->gone;
    wake->notify();
  };
  writer.on_client_gone(std::move(on_gone));
  (void)co_await wake->wait(std::chrono::milliseconds{60'000});
  Status status = ok();
  if (begun) {
    status = co_await writer.write("after");
  } else {
    Response response = plain(200, "released");
    status = co_await writer.send(std::move(response));
  }
  if (!status && status.error().code == Code::kCancelled) ++observed->write_failures;
}

// 32 MiB in numbered pieces.
net::awaitable<void> flood(Observed* observed, ResponseWriter& writer) {
  std::function<void()> on_gone = [observed, &writer] {
    if (writer.client_stalled()) ++observed->stalled;
    ++observed->gone;
  };
  writer.on_client_gone(std::move(on_gone));
  (co_await writer.begin(200, Headers())).has_value();
  for (std::size_t i = 0; i < kFloodPieces; ++i) {
    std::string piece = std::to_string(i) + ":";
    piece.resize(kFloodPieceBytes, '.');
    const Status status = co_await writer.write(std::move(piece));
    if (!status) {
      ++observed->write_failures;
      co_return;
    }
    observed->bytes_written += kFloodPieceBytes;
  }
  (co_await writer.end()).has_value();
}

net::awaitable<void> send(ResponseWriter& writer, Response response) {
  (co_await writer.send(std::move(response))).has_value();
}

net::awaitable<void> begin_then(ResponseWriter& writer, bool fail) {
  (co_await writer.begin(200, Headers())).has_value();
  (co_await writer.write("half")).has_value();
  if (fail) throw std::runtime_error("secret prompt");
}

net::awaitable<void> dispatch(Observed* observed, net::io_context* io, Request request,
                              ResponseWriter& writer) {
  if (request.path == "/stream") return stream_three(writer);
  if (request.path == "/wait") return wait(observed, io, false, writer);
  if (request.path == "/stream-wait") return wait(observed, io, true, writer);
  if (request.path == "/flood") return flood(observed, writer);
  if (request.path == "/throw") throw std::runtime_error("secret prompt");
  if (request.path == "/throw-midway") return begin_then(writer, true);
  if (request.path == "/unended") return begin_then(writer, false);
  if (request.path == "/peer") return send(writer, plain(200, request.peer.address));
  if (request.path == "/empty") {
    Response response = plain(204, "never sent");
    return send(writer, std::move(response));
  }
  Response response =
      plain(200, request.method + " " + request.path + "?" + request.query + " " + request.body);
  if (request.path == "/close") response.headers.emplace_back("Connection", "close");
  if (request.path == "/inject") response.headers.emplace_back("X-Model", "a\r\nX-Evil: b");
  return send(writer, std::move(response));
}

net::awaitable<void> handle(Observed* observed, net::io_context* io, Request request,
                            ResponseWriter& writer) {
  ++observed->handling;
  if (request.path != "/nothing") {
    net::awaitable<void> answer = dispatch(observed, io, std::move(request), writer);
    co_await std::move(answer);
  }
  ++observed->finished;
}

Response error_body(const Error& error) {
  const std::string body = "{\"error\":\"" + error.message + "\"}";
  return {info(error.code).http_status, "application/json", body};
}

}  // namespace

std::string get(const std::string& path, const std::string& fields) {
  return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + fields + "\r\n";
}

bool eventually(const std::function<bool()>& condition) {
  for (int waited_ms = 0; waited_ms < kPatienceMs; ++waited_ms) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return condition();
}

TestServer::TestServer(const Limits& limits, const std::string& unix_path) {
  observed_.release = AsyncEvent::create(io_);
  Listen listen;
  listen.unix_path = unix_path;
  Handler handler = [this](Request request, ResponseWriter& writer) {
    return handle(&observed_, &io_, std::move(request), writer);
  };
  auto server = Server::create(io_, listen, limits, std::move(handler), error_body);
  if (!server) throw std::runtime_error(server.error().message);
  server_ = std::move(*server);
  port_ = server_->port();
  server_->start();
  thread_ = std::thread([this] { io_.run(); });
}

TestServer::~TestServer() {
  observed_.release->notify();
  if (server_ && thread_.joinable()) stop();
  wait_until_dry();
}

void TestServer::stop(const std::function<void()>& before) {
  if (std::exchange(stopped_, true)) return;  // the io thread may have ended: nobody would answer
  std::promise<void> done;
  net::post(io_, [&] {
    if (before) before();
    server_->stop();
    done.set_value();
  });
  done.get_future().wait();
}

void TestServer::wait_until_dry() {
  if (thread_.joinable()) thread_.join();
}

void TestServer::destroy() {
  std::promise<void> done;
  net::post(io_, [&] {
    server_.reset();
    done.set_value();
  });
  done.get_future().wait();
}

Counters TestServer::counters() {
  std::promise<Counters> promise;
  net::post(io_, [&] { promise.set_value(server_->counters()); });
  return promise.get_future().get();
}

std::string Reply::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (iequals(key, name)) return value;
  }
  return "";
}

Client::Client(std::uint16_t port, int receive_buffer_bytes)
    : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
  if (receive_buffer_bytes > 0) {
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof(receive_buffer_bytes));
  }
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) close();
}

Client::Client(const std::string& unix_path) : fd_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, unix_path.c_str(), sizeof(address.sun_path) - 1);
  if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) close();
}

Client::~Client() {
  close();
}

void Client::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

void Client::reset() {
  const linger at_once{1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  close();
}

bool Client::was_reset() const {
  int error = 0;
  socklen_t size = sizeof(error);
  ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
  return error != 0;
}

void Client::end_sending() {
  ::shutdown(fd_, SHUT_WR);
}

bool Client::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

bool Client::fill() {
  ended_ = ended_ || fd_ < 0;
  if (ended_) return false;
  pollfd watched{fd_, POLLIN, 0};
  if (::poll(&watched, 1, kPatienceMs) <= 0) return false;
  std::array<char, 65536> bytes;
  const ssize_t count = ::recv(fd_, bytes.data(), bytes.size(), 0);
  ended_ = count <= 0;
  if (ended_) return false;
  buffer_.append(bytes.data(), static_cast<std::size_t>(count));
  return true;
}

std::string Client::line() {
  for (;;) {
    const std::size_t end = buffer_.find("\r\n");
    if (end != std::string::npos) {
      std::string text = buffer_.substr(0, end);
      buffer_.erase(0, end + 2);
      return text;
    }
    if (!fill()) return "\x01 ended";
  }
}

std::string Client::exactly(std::size_t count) {
  while (buffer_.size() < count) {
    if (!fill()) return "";
  }
  std::string bytes = buffer_.substr(0, count);
  buffer_.erase(0, count);
  return bytes;
}

Reply Client::read(bool no_body) {
  Reply reply;
  const std::string status_line = line();
  if (!status_line.starts_with("HTTP/1.1 ")) return reply;
  const int status = std::stoi(status_line.substr(9));
  for (std::string field = line(); !field.empty(); field = line()) {
    const std::size_t colon = field.find(": ");
    if (colon == std::string::npos) return reply;
    reply.headers.emplace_back(field.substr(0, colon), field.substr(colon + 2));
  }
  if (no_body || status == 100 || status == 204) {
  } else if (reply.header("Transfer-Encoding") == "chunked") {
    for (;;) {
      const std::string size_line = line();
      if (size_line.starts_with('\x01')) return reply;
      const std::size_t size = std::stoul(size_line, nullptr, 16);
      const std::string chunk = exactly(size);
      if (chunk.size() != size || !line().empty()) return reply;
      if (size == 0) break;
      reply.body += chunk;
      reply.chunks += (reply.chunks.empty() ? "" : "|") + chunk;
    }
  } else if (!reply.header("Content-Length").empty()) {
    const std::size_t size = std::stoul(reply.header("Content-Length"));
    reply.body = exactly(size);
    if (reply.body.size() != size) return reply;
  } else {
    reply.body = read_all();
  }
  reply.status = status;
  return reply;
}

std::string Client::read_some() {
  if (buffer_.empty()) fill();
  return std::exchange(buffer_, "");
}

std::string Client::read_all() {
  while (fill()) {
  }
  return std::exchange(buffer_, "");
}

bool Client::at_end() {
  return buffer_.empty() && !fill() && ended_;
}

}  // namespace aioss::http::testing
