#include "http/server.h"

#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <utility>

#include "base/assert.h"
#include "base/log.h"
#include "http/awaiting.h"
#include "http/connection.h"
#include "http/listener.h"

namespace aioss::http {
namespace {

// Out of descriptors or memory, accepting fails again at once: try again when some may be free.
constexpr std::chrono::milliseconds kAcceptPause{100};
// Refused clients that are told so politely at a time; the others are just cut off.
constexpr std::size_t kFarewellsMax = 64;

net::awaitable<void> run(std::unique_ptr<Connection> connection) {
  co_await connection->run();
}

net::awaitable<void> turn_away(std::unique_ptr<Connection> connection) {
  co_await connection->turn_away();
}

}  // namespace

class Server::Impl final {
 public:
  Impl(net::io_context& io, std::shared_ptr<ServerState> state)
      : io_(io), state_(std::move(state)) {}
  ~Impl();

  Status listen(const Listen& listen);
  void start();
  void stop();
  std::uint16_t port() const { return port_; }
  Counters counters() const { return state_->counters; }

 private:
  // Shared with its coroutine, which may outlive us by one resumption.
  struct Door {
    Door(Acceptor a, net::io_context& io) : acceptor(std::move(a)), pause(io) {}
    Acceptor acceptor;
    net::steady_timer pause;
  };
  static net::awaitable<void> accept(std::shared_ptr<Door> door,
                                     std::shared_ptr<ServerState> state);
  static void admit(const std::shared_ptr<ServerState>& state, Socket socket);
  void close_doors();

  net::io_context& io_;
  const std::shared_ptr<ServerState> state_;
  std::vector<std::shared_ptr<Door>> doors_;
  std::string unix_path_;
  std::uint16_t port_ = 0;
};

Server::Impl::~Impl() {
  close_doors();
  state_->stopping = true;
  const std::vector<Connection*> open(state_->connections.begin(), state_->connections.end());
  for (Connection* connection : open) connection->abort();
}

Status Server::Impl::listen(const Listen& listen) {
  if (listen.tcp) {
    AIOSS_TRY(TcpListener tcp, listen_tcp(io_, listen.host, listen.port));
    port_ = tcp.port;
    doors_.push_back(std::make_shared<Door>(std::move(tcp.acceptor), io_));
  }
  if (!listen.unix_path.empty()) {
    AIOSS_TRY(Acceptor acceptor, listen_unix(io_, listen.unix_path));
    unix_path_ = listen.unix_path;
    doors_.push_back(std::make_shared<Door>(std::move(acceptor), io_));
  }
  if (doors_.empty()) {
    return Error{Code::kInvalidArgument, "nothing to listen on: give a TCP address or a Unix path"};
  }
  return ok();
}

void Server::Impl::start() {
  for (const auto& door : doors_) net::co_spawn(io_, accept(door, state_), net::detached);
}

void Server::Impl::stop() {
  state_->stopping = true;
  close_doors();
  for (Connection* connection : state_->connections) connection->stop();
}

void Server::Impl::close_doors() {
  boost::system::error_code ignored;
  for (const auto& door : doors_) {
    door->acceptor.close(ignored);
    door->pause.cancel();
  }
  doors_.clear();
  if (!unix_path_.empty()) ::unlink(std::exchange(unix_path_, "").c_str());
}

net::awaitable<void> Server::Impl::accept(std::shared_ptr<Door> door,
                                          std::shared_ptr<ServerState> state) {
  bool complained = false;
  while (door->acceptor.is_open()) {
    auto [error, socket] = co_await door->acceptor.async_accept(kTuple);
    if (!door->acceptor.is_open()) co_return;
    if (!error) {
      complained = false;
      admit(state, std::move(socket));
      continue;
    }
    if (!std::exchange(complained, true)) {
      log::warn("cannot accept connections for now", {{"reason", error.message()}});
    }
    door->pause.expires_after(kAcceptPause);
    co_await door->pause.async_wait(kTuple);
  }
}

void Server::Impl::admit(const std::shared_ptr<ServerState>& state, Socket socket) {
  ++state->counters.connections_accepted;
  prepare(socket);
  const bool full = state->connections.size() >= state->limits.connections_max;
  if (full && state->farewells >= kFarewellsMax) {
    ++state->counters.refused;
    return;  // the socket closes itself
  }
  const auto executor = socket.get_executor();
  Peer peer = peer_of(socket);
  auto connection = std::make_unique<Connection>(state, std::move(socket), std::move(peer));
  if (full) {
    net::co_spawn(executor, turn_away(std::move(connection)), net::detached);
  } else {
    net::co_spawn(executor, run(std::move(connection)), net::detached);
  }
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() = default;

Result<std::unique_ptr<Server>> Server::create(net::io_context& io, const Listen& listen,
                                               const Limits& limits, Handler handler,
                                               ErrorBody error_body) {
  ASSERT(handler && error_body);
  auto state = std::make_shared<ServerState>(limits, std::move(handler), std::move(error_body));
  auto impl = std::make_unique<Impl>(io, std::move(state));
  AIOSS_CHECK(impl->listen(listen));
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

void Server::start() {
  impl_->start();
}
void Server::stop() {
  impl_->stop();
}
std::uint16_t Server::port() const {
  return impl_->port();
}
Counters Server::counters() const {
  return impl_->counters();
}

}  // namespace aioss::http
