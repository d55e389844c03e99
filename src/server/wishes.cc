#include "server/wishes.h"

#include <string>
#include <string_view>
#include <utility>

#include "base/strings.h"

namespace aioss::server {
namespace {

constexpr std::string_view kPriority = "X-Aioss-Priority";
constexpr std::string_view kDeadline = "X-Aioss-Deadline";

Error no(std::string_view header, std::string message) {
  return {Code::kInvalidArgument, std::move(message), std::string(header)};
}

// 1 … `most`.
Result<std::uint64_t> parse_seconds(std::string_view header, std::string_view text,
                                    std::uint64_t most) {
  const auto seconds = parse_u64(trim(text));
  if (seconds && *seconds >= 1 && *seconds <= most) return *seconds;
  return no(header, std::string(header) + " must be a whole number of seconds from 1 to " +
                        std::to_string(most));
}

}  // namespace

Result<Wishes> parse_wishes(const http::Request& request, std::uint32_t resume_seconds_max) {
  Wishes wishes;
  if (const auto given = request.header(kPriority)) {
    wishes.priority = ipc::priority_from_name(trim(*given));
    if (!wishes.priority) return no(kPriority, "X-Aioss-Priority must be interactive or batch");
  }
  if (const auto given = request.header(kDeadline)) {
    AIOSS_TRY(const auto seconds, parse_seconds(kDeadline, *given, kDeadlineSecondsMax));
    wishes.deadline_ms = seconds * 1000;
  }
  if (const auto given = request.header(kResumeHeader)) {
    if (resume_seconds_max == 0) {
      return no(kResumeHeader,
                "this server keeps no answers for clients that come back; leave out "
                "the header 'X-Aioss-Resume'");
    }
    AIOSS_TRY(const auto seconds, parse_seconds(kResumeHeader, *given, resume_seconds_max));
    wishes.resume = std::chrono::seconds(static_cast<std::int64_t>(seconds));
  }
  return wishes;
}

}  // namespace aioss::server
