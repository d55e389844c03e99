#include "http/listener.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <cerrno>
#include <cstring>
#include <utility>

#include "http/text.h"
#include "os/file.h"

namespace aioss::http {
namespace {

using Tcp = net::ip::tcp;
using Local = net::local::stream_protocol;

// Connections that the kernel holds for us until we accept them; it cuts this to its own maximum.
constexpr int kBacklog = 1024;
// A client that does not read can make us hold this much in the kernel (which doubles what it is
// asked for): small enough that "the kernel took it" is close to "the client takes it".
constexpr int kSendBufferBytes = 32 * 1024;
constexpr mode_t kUnixSocketMode = 0660;

Error bind_error(const boost::system::error_code& error, const std::string& host,
                 std::uint16_t port) {
  const std::string place = "port " + std::to_string(port) + " of " + host;
  if (error == net::error::address_in_use) {
    return {Code::kConflict,
            place + " is in use; stop the program that listens there or choose another with --port",
            "port"};
  }
  if (error == net::error::access_denied) {
    return {Code::kForbidden, place + " needs more rights; choose a port above 1023", "port"};
  }
  return {Code::kIo, "cannot listen on " + place + ": " + error.message(), "host"};
}

void close_on_exec(int fd) {
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
}

// Whether the path can be bound, after removing a socket that nobody listens on any more. The
// connect is to a local socket, at start-up, before the process gives up that right.
Status make_room_for(const std::string& path) {
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return ok();
    return error_from_errno(errno, "cannot look at " + path);
  }
  if (!S_ISSOCK(info.st_mode)) {
    return Error{Code::kConflict, path + " exists and is not a socket; choose another path",
                 "unix_path"};
  }
  const os::Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe.valid()) return error_from_errno(errno, "cannot make a socket");
  const Local::endpoint endpoint(path);
  const int refused =
      ::connect(probe.get(), endpoint.data(), static_cast<socklen_t>(endpoint.size()));
  if (refused == 0 || errno != ECONNREFUSED) {  // EAGAIN: somebody listens and is busy
    return Error{Code::kConflict,
                 path + " is in use; stop the program that listens there or choose another path",
                 "unix_path"};
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    return error_from_errno(errno, "cannot remove the stale socket " + path);
  }
  return ok();
}

Peer tcp_peer(Socket& socket) {
  Peer peer;
  boost::system::error_code error;
  const auto remote = socket.remote_endpoint(error);
  Tcp::endpoint endpoint;
  if (error || remote.size() > endpoint.capacity()) {
    peer.address = "unknown";
    return peer;
  }
  std::memcpy(endpoint.data(), remote.data(), remote.size());
  endpoint.resize(remote.size());
  net::ip::address address = endpoint.address();
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    address = net::ip::make_address_v4(net::ip::v4_mapped, address.to_v6());
  }
  peer.loopback = address.is_loopback();
  peer.address = address.is_v6() ? "[" + address.to_string() + "]" : address.to_string();
  peer.address += ":" + std::to_string(endpoint.port());
  return peer;
}

}  // namespace

Result<TcpListener> listen_tcp(net::io_context& io, const std::string& host, std::uint16_t port) {
  boost::system::error_code error;
  const std::string literal = iequals(host, "localhost") ? "127.0.0.1" : host;
  const net::ip::address address = net::ip::make_address(literal, error);
  if (error) {
    return Error{Code::kInvalidArgument,
                 "'" + host +
                     "' is not an address; names are not looked up, use for example "
                     "127.0.0.1 or ::1",
                 "host"};
  }
  const Tcp::endpoint endpoint(address, port);
  Tcp::acceptor acceptor(io);
  acceptor.open(endpoint.protocol(), error);
  if (!error) close_on_exec(acceptor.native_handle());
  // On Linux this frees a port from connections that have ended, not from a program that listens.
  if (!error) acceptor.set_option(Tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(kBacklog, error);
  if (error) return bind_error(error, host, port);
  const std::uint16_t bound = acceptor.local_endpoint(error).port();
  const net::generic::stream_protocol protocol(endpoint.protocol());
  TcpListener listener{Acceptor(io), bound};
  listener.acceptor.assign(protocol, acceptor.release(error), error);
  if (error) return bind_error(error, host, port);
  return listener;
}

Result<Acceptor> listen_unix(net::io_context& io, const std::string& path) {
  if (path.empty() || path.size() >= sizeof(sockaddr_un::sun_path)) {
    return Error{Code::kInvalidArgument,
                 "the path of a Unix socket has 1 to " +
                     std::to_string(sizeof(sockaddr_un::sun_path) - 1) + " bytes",
                 "unix_path"};
  }
  AIOSS_CHECK(make_room_for(path));
  boost::system::error_code error;
  Local::acceptor acceptor(io);
  acceptor.open(Local(), error);
  if (!error) {
    close_on_exec(acceptor.native_handle());
    // Linux gives the file these rights, less the umask, so that it never has wider ones.
    ::fchmod(acceptor.native_handle(), kUnixSocketMode);
    acceptor.bind(Local::endpoint(path), error);
  }
  if (!error && ::chmod(path.c_str(), kUnixSocketMode) != 0) {
    return error_from_errno(errno, "cannot set the rights of " + path);
  }
  if (!error) acceptor.listen(kBacklog, error);
  Acceptor generic(io);
  const net::generic::stream_protocol protocol{Local()};
  if (!error) generic.assign(protocol, acceptor.release(error), error);
  if (error) {
    return Error{Code::kIo, "cannot listen on " + path + ": " + error.message(), "unix_path"};
  }
  return generic;
}

void prepare(Socket& socket) {
  boost::system::error_code ignored;  // none of these decides whether the client can be served
  close_on_exec(socket.native_handle());
  socket.set_option(net::socket_base::send_buffer_size(kSendBufferBytes), ignored);
  socket.set_option(Tcp::no_delay(true), ignored);  // refused on Unix sockets
}

Peer peer_of(Socket& socket) {
  boost::system::error_code error;
  const auto local = socket.local_endpoint(error);
  if (!error && local.protocol().family() != AF_UNIX) return tcp_peer(socket);
  Peer peer;
  peer.unix_socket = true;
  ucred credentials{};
  socklen_t size = sizeof(credentials);
  if (error ||
      ::getsockopt(socket.native_handle(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    // Nobody is who we cannot name.
    peer.uid = peer.gid = static_cast<std::uint32_t>(-1);
    peer.address = "unknown";
    return peer;
  }
  peer.loopback = true;
  peer.uid = credentials.uid;
  peer.gid = credentials.gid;
  peer.address = "unix:uid=" + std::to_string(credentials.uid);
  return peer;
}

}  // namespace aioss::http
