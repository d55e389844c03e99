// What a request asks for in headers of ours: its class and its deadline. Pure.
#pragma once

#include <cstdint>
#include <optional>

#include "base/result.h"
#include "http/server.h"
#include "ipc/messages.h"

namespace aioss::server {

inline constexpr std::uint64_t kDeadlineSecondsMax = ipc::kDeadlineMsMax / 1000;  // a day

struct Wishes {
  std::optional<ipc::Priority> priority;  // X-Aioss-Priority
  std::uint64_t deadline_ms = 0;          // X-Aioss-Deadline; 0: none
};
// kInvalidArgument that names the header.
Result<Wishes> parse_wishes(const http::Request& request);

}  // namespace aioss::server
