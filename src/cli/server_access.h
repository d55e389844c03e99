// How a command speaks to a running server: where it is, with which key, and what its refusals
// mean.
#pragma once

#include <chrono>
#include <string>

#include "cli/args.h"
#include "cli/services.h"
#include "codec/json.h"
#include "http/client.h"

namespace aioss::cli {

// Between questions to a server about something that goes on.
inline constexpr std::chrono::milliseconds kAskAgain{200};

struct ServerAccess {
  http::ServerPlace place;
  http::Headers headers;
  // kNotFound is to say that nobody listens there, and nothing else: what a server itself has not
  // got is kIo then.
  bool not_found_is_nobody = false;
};

// From --unix, or --host and --port, and --key.
Result<ServerAccess> server_access(const Services& services, const Invocation& invocation);

// The body of a 200. Errors say what to do: where no server answers, or it wants another key.
// Others have the server's own message and code.
Result<std::string> get_page(const ServerAccess& access, const std::string& path,
                             const http::Stop& stop = nullptr);
// A text in such a body, safe to print; empty if it is none.
std::string text_of_page(const codec::Json& object, const char* name);
Result<std::string> post_order(const ServerAccess& access, const std::string& path);
Result<std::string> post_order(const ServerAccess& access, const std::string& path,
                               std::string json);

}  // namespace aioss::cli
