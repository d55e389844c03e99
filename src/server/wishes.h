// What a request asks for in headers of ours: its class, its deadline, and to be kept for a client
// that may come back. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "http/server.h"
#include "ipc/messages.h"

namespace aioss::server {

inline constexpr std::uint64_t kDeadlineSecondsMax = ipc::kDeadlineMsMax / 1000;  // a day
inline constexpr std::string_view kResumeHeader = "X-Aioss-Resume";
inline constexpr std::string_view kProgressHeader = "X-Aioss-Progress";
inline constexpr std::uint64_t kLoadWaitSecondsMax = 3600;  // also of the setting

struct Wishes {
  std::optional<ipc::Priority> priority;               // X-Aioss-Priority
  std::uint64_t deadline_ms = 0;                       // X-Aioss-Deadline; 0: none
  std::optional<std::chrono::seconds> resume;          // X-Aioss-Resume: without a client
  std::optional<std::chrono::seconds> load_wait = {};  // X-Aioss-Load-Wait: for the model
  bool progress = false;                               // X-Aioss-Progress: of its load, as events
};
// kInvalidArgument that names the header. `resume_seconds_max`: that may be asked for; 0: none may.
Result<Wishes> parse_wishes(const http::Request& request, std::uint32_t resume_seconds_max);

}  // namespace aioss::server
