#include "server/wishes.h"

#include <string>
#include <string_view>
#include <utility>

#include "base/strings.h"

namespace aioss::server {
namespace {

constexpr std::string_view kPriority = "X-Aioss-Priority";
constexpr std::string_view kDeadline = "X-Aioss-Deadline";
constexpr std::string_view kLoadWait = "X-Aioss-Load-Wait";

Error no(std::string_view header, std::string message) {
  return {Code::kInvalidArgument, std::move(message), std::string(header)};
}

// `least` … `most`.
Result<std::uint64_t> parse_seconds(std::string_view header, std::string_view text,
                                    std::uint64_t most, std::uint64_t least = 1) {
  const auto seconds = parse_u64(trim(text));
  if (seconds && *seconds >= least && *seconds <= most) return *seconds;
  return no(header, std::string(header) + " must be a whole number of seconds from " +
                        std::to_string(least) + " to " + std::to_string(most));
}

// What is wished of the load of the model.
Status parse_load_wishes(const http::Request& request, Wishes& wishes) {
  if (const auto given = request.header(kLoadWait)) {
    AIOSS_TRY(const auto seconds, parse_seconds(kLoadWait, *given, kLoadWaitSecondsMax, 0));
    wishes.load_wait = std::chrono::seconds(static_cast<std::int64_t>(seconds));
  }
  if (const auto given = request.header(kProgressHeader)) {
    const std::string_view value = trim(*given);
    if (value != "0" && value != "1") return no(kProgressHeader, "X-Aioss-Progress must be 1 or 0");
    wishes.progress = value == "1";
  }
  if (!wishes.progress || !wishes.resume) return ok();
  return no(kProgressHeader,
            "X-Aioss-Progress and X-Aioss-Resume do not go together yet; give one");
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
  AIOSS_CHECK(parse_load_wishes(request, wishes));
  return wishes;
}

}  // namespace aioss::server
