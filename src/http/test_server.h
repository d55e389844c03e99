// For the tests of this folder: a server with a set of small handlers on a thread of its own, and a
// client of raw sockets that reads with patience but not for ever. Everything a test learns of the
// server's side comes through Observed, which is thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "http/server.h"

namespace aioss::http::testing {

struct Observed {
  std::atomic<int> handling{0};                 // handlers that have begun
  std::atomic<int> finished{0};                 // and returned
  std::atomic<int> gone{0};                     // on_client_gone calls
  std::atomic<int> stalled{0};                  // of them because nothing was read
  std::atomic<int> write_failures{0};           // kCancelled from write(), end() or send()
  std::atomic<std::uint64_t> bytes_written{0};  // taken by write()
  std::shared_ptr<AsyncEvent> release;          // lets one /wait handler answer
};

// A request without a body, as bytes. `fields`: whole lines.
std::string get(const std::string& path, const std::string& fields = "");
// Waits for a condition; false if it does not come within half a minute.
bool eventually(const std::function<bool()>& condition);

class TestServer final {
 public:
  explicit TestServer(const Limits& limits = {}, const std::string& unix_path = {});
  ~TestServer();  // stops, and waits until every connection has closed

  std::uint16_t port() const { return port_; }
  Observed& observed() { return observed_; }
  // As Server::stop, on the io thread; `before` runs there immediately before it, so that the
  // server has not seen what it sends.
  void stop(const std::function<void()>& before = nullptr);
  void wait_until_dry();  // until io has nothing left to do
  void destroy();         // the Server object, with whatever is open
  Counters counters();

 private:
  net::io_context io_{1};
  Observed observed_;
  std::unique_ptr<Server> server_;
  std::uint16_t port_ = 0;
  bool stopped_ = false;
  std::thread thread_;
};

struct Reply {
  int status = 0;  // 0: the connection ended before a whole answer
  Headers headers;
  std::string body;
  std::string chunks;                               // the same with '|' between the chunks
  std::string header(std::string_view name) const;  // "" if absent
};

class Client final {
 public:
  explicit Client(std::uint16_t port, int receive_buffer_bytes = 0);
  explicit Client(const std::string& unix_path);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool send(std::string_view bytes);  // false if the server has closed
  Reply read(bool no_body = false);   // one answer
  Reply ask(std::string_view bytes) {
    send(bytes);
    return read();
  }
  std::string read_some();  // what has come, waiting for the first byte; "" at the end
  std::string read_all();   // until the server closes
  bool at_end();            // the server has closed and sent no more
  bool was_reset() const;   // or sent to a closed socket, which is answered so
  void end_sending();
  void close();
  void reset();  // RST instead of FIN

 private:
  bool fill();  // one read into buffer_
  std::string line();
  std::string exactly(std::size_t count);
  int fd_ = -1;
  bool ended_ = false;  // the server has; running out of patience is not that
  std::string buffer_;
};

}  // namespace aioss::http::testing
