// Listening sockets: TCP on an address, and Unix sockets on a path. Used at start-up only; what
// comes out are plain acceptors of either kind.
#pragma once

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <cstdint>
#include <string>

#include "base/result.h"
#include "http/server.h"
#include "http/transport.h"

namespace aioss::http {

using Acceptor = net::basic_socket_acceptor<net::generic::stream_protocol>;

struct TcpListener {
  Acceptor acceptor;
  std::uint16_t port = 0;
};

Result<TcpListener> listen_tcp(net::io_context& io, const std::string& host, std::uint16_t port);

// `path` must be removed by the caller when it stops to listen.
Result<Acceptor> listen_unix(net::io_context& io, const std::string& path);

// Options of an accepted socket, and who is at its other end.
void prepare(Socket& socket);
Peer peer_of(Socket& socket);

}  // namespace aioss::http
