// Reading an answer that is kept (X-Aioss-Resume): the client who asked, and whoever comes back by
// GET /v1/streams/{id}. io thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "http/server.h"
#include "runtime/calls/principal.h"
#include "server/stream_shelf.h"

namespace aioss::server {

struct ResumeContext {  // all of it outlives every request
  http::net::io_context& io;
  StreamShelf& shelf;
  std::chrono::milliseconds ping_interval;
};

// The event that the caller has: of the header Last-Event-ID, else of `from` in the query, else 0.
// kInvalidArgument for anything else in the query, and for what is no number.
Result<std::uint64_t> parse_from(const http::Request& request);

// Sends what follows event `after`, to the end, or until the client leaves or another one reads.
// The status that was sent, or that of kCancelled. `after` has been checked.
http::net::awaitable<int> read_kept(const ResumeContext& context,
                                    std::shared_ptr<KeptAnswer> answer, std::uint64_t after,
                                    http::ResponseWriter& writer);

// GET /v1/streams/{id}, by a known caller.
http::net::awaitable<int> answer_resume(const ResumeContext& context, http::Request request,
                                        std::string id, runtime::Principal caller,
                                        http::ResponseWriter& writer);

}  // namespace aioss::server
