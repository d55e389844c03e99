#include "http/client.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

namespace aioss::http {
namespace {

namespace beast = boost::beast;
using boost::system::error_code;
using Ask = beast::http::request<beast::http::string_body>;

constexpr unsigned kHttp11 = 11;
constexpr std::chrono::milliseconds kStopInterval{50};

Ask request_for(beast::http::verb method, const std::string& path, const Headers& headers) {
  Ask request(method, path, kHttp11);
  request.set(beast::http::field::host, "localhost");
  request.set(beast::http::field::connection, "close");
  for (const auto& [name, value] : headers) request.set(name, value);
  if (method == beast::http::verb::post) request.content_length(0);
  return request;
}

// Others, such as a socket that is not for us, say nothing of whether a server is there.
bool means_nobody(const error_code& error) {
  return error == boost::system::errc::no_such_file_or_directory ||
         error == boost::system::errc::connection_refused;
}

Error error_of(const error_code& error, bool connected, const ServerPlace& place) {
  if (error == beast::error::timeout) {
    return {Code::kTimeout, "the server at " + place.shown() + " does not answer in time"};
  }
  if (!connected && means_nobody(error)) {
    return {Code::kNotFound, "no server answers at " + place.shown() + ": " + error.message()};
  }
  if (!connected) {
    return {Code::kIo, "the server at " + place.shown() + " is not reached: " + error.message()};
  }
  return {Code::kIo, "the server at " + place.shown() + " gave no answer: " + error.message()};
}

// Connects, asks and reads: each step begins the next.
template <typename Protocol>
class Exchange {
 public:
  Exchange(Ask request, std::chrono::milliseconds timeout)
      : request_(std::move(request)), stream_(io_) {
    parser_.body_limit(kReplyBytesMax);
    stream_.expires_after(timeout);
  }

  Result<ServerReply> run(const typename Protocol::endpoint& endpoint, const ServerPlace& place,
                          const Stop& stop) {
    stream_.async_connect(endpoint, [this](const error_code& error) {
      error_ = error;
      connected_ = !error;
      if (connected_) write();
    });
    while (!io_.stopped()) {  // until it has nothing more to do
      io_.run_for(kStopInterval);
      if (stop && stop()) return Error{Code::kCancelled, "the request was given up"};
    }
    if (error_) return error_of(error_, connected_, place);
    return ServerReply{static_cast<int>(parser_.get().result_int()),
                       std::move(parser_.get().body())};
  }

 private:
  void write() {
    beast::http::async_write(stream_, request_, [this](const error_code& error, std::size_t) {
      error_ = error;
      if (!error) read();
    });
  }
  void read() {
    beast::http::async_read(stream_, buffer_, parser_,
                            [this](const error_code& error, std::size_t) { error_ = error; });
  }

  net::io_context io_{1};
  Ask request_;
  beast::basic_stream<Protocol> stream_;
  beast::flat_buffer buffer_;
  beast::http::response_parser<beast::http::string_body> parser_;
  error_code error_;
  bool connected_ = false;
};

Result<net::ip::address> address_of(std::string host) {
  if (host == "localhost") host = "127.0.0.1";
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  error_code error;
  const net::ip::address address = net::ip::make_address(host, error);
  if (error) {
    return Error{Code::kUsage, "'" + host + "' is no numeric address; give one with --host"};
  }
  if (!address.is_unspecified()) return address;
  if (address.is_v6()) return net::ip::address(net::ip::address_v6::loopback());
  return net::ip::address(net::ip::address_v4::loopback());
}

}  // namespace

std::string ServerPlace::shown() const {
  if (!unix_path.empty()) return unix_path;
  return "http://" + url_host(host) + ":" + std::to_string(port);
}

namespace {

Result<ServerReply> ask(Ask request, const ServerPlace& place, std::chrono::milliseconds timeout,
                        const Stop& stop) {
  if (!place.unix_path.empty()) {
    constexpr std::size_t kPathBytesMax = 107;  // sun_path, and its end
    if (place.unix_path.size() > kPathBytesMax) {
      return Error{Code::kUsage, "the path of a Unix socket has at most 107 bytes"};
    }
    Exchange<net::local::stream_protocol> exchange(std::move(request), timeout);
    return exchange.run(net::local::stream_protocol::endpoint(place.unix_path), place, stop);
  }
  AIOSS_TRY(const net::ip::address address, address_of(place.host));
  Exchange<net::ip::tcp> exchange(std::move(request), timeout);
  return exchange.run(net::ip::tcp::endpoint(address, place.port), place, stop);
}

}  // namespace

Result<ServerReply> get(const ServerPlace& place, const std::string& path, const Headers& headers,
                        std::chrono::milliseconds timeout, const Stop& stop) {
  return ask(request_for(beast::http::verb::get, path, headers), place, timeout, stop);
}

Result<ServerReply> post(const ServerPlace& place, const std::string& path, const Headers& headers,
                         std::chrono::milliseconds timeout, const Stop& stop) {
  return ask(request_for(beast::http::verb::post, path, headers), place, timeout, stop);
}

Result<ServerReply> post_json(const ServerPlace& place, const std::string& path,
                              const Headers& headers, std::string json,
                              std::chrono::milliseconds timeout) {
  auto request = request_for(beast::http::verb::post, path, headers);
  request.set(beast::http::field::content_type, "application/json");
  request.body() = std::move(json);
  request.prepare_payload();
  return ask(std::move(request), place, timeout, nullptr);
}

}  // namespace aioss::http
