// One request to a server of ours, for commands that look at one or give it an order: over its Unix
// socket or over TCP to a numeric address. Blocks, with a bound on time and size. Thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "http/server.h"

namespace aioss::http {

struct ServerPlace {
  std::string unix_path;  // "": over TCP
  std::string host;       // a numeric address, or "localhost"; one that means all is the loopback's
  std::uint16_t port = 0;
  std::string shown() const;  // "http://127.0.0.1:8484" or the path
};

struct ServerReply {
  int status = 0;
  std::string body;
};

inline constexpr std::size_t kReplyBytesMax = std::size_t{4} << 20;

// True: leave. Asked many times a second while a request is under way.
using Stop = std::function<bool()>;

// kNotFound: nobody listens there (no such socket, or it refuses connections). kTimeout: not in
// time. kUsage: no address. kIo: it cannot be reached, so who is there is not known, or what came
// is no answer. kCancelled: `stop` said so.
Result<ServerReply> get(const ServerPlace& place, const std::string& path, const Headers& headers,
                        std::chrono::milliseconds timeout, const Stop& stop = nullptr);
// The same as POST, without a body.
Result<ServerReply> post(const ServerPlace& place, const std::string& path, const Headers& headers,
                         std::chrono::milliseconds timeout, const Stop& stop = nullptr);
// With a body of JSON.
Result<ServerReply> post_json(const ServerPlace& place, const std::string& path,
                              const Headers& headers, std::string json,
                              std::chrono::milliseconds timeout);

}  // namespace aioss::http
