#include "server/wishes.h"

#include <string>
#include <string_view>

#include "base/strings.h"

namespace aioss::server {
namespace {

constexpr std::string_view kPriority = "X-Aioss-Priority";
constexpr std::string_view kDeadline = "X-Aioss-Deadline";

}  // namespace

Result<Wishes> parse_wishes(const http::Request& request) {
  Wishes wishes;
  if (const auto given = request.header(kPriority)) {
    wishes.priority = ipc::priority_from_name(trim(*given));
    if (!wishes.priority) {
      return Error{Code::kInvalidArgument, "X-Aioss-Priority must be interactive or batch",
                   std::string(kPriority)};
    }
  }
  if (const auto given = request.header(kDeadline)) {
    const auto seconds = parse_u64(trim(*given));
    if (!seconds || *seconds < 1 || *seconds > kDeadlineSecondsMax) {
      return Error{Code::kInvalidArgument,
                   "X-Aioss-Deadline must be a whole number of seconds from 1 to " +
                       std::to_string(kDeadlineSecondsMax),
                   std::string(kDeadline)};
    }
    wishes.deadline_ms = *seconds * 1000;
  }
  return wishes;
}

}  // namespace aioss::server
