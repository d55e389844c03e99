#include "server/review_body.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "api/openai/fields.h"
#include "base/suggest.h"
#include "codec/hex.h"
#include "codec/json.h"

namespace aioss::server {
namespace {

constexpr std::size_t kReviewNodesMax = 64;  // four fields, and room to name the one that is wrong
constexpr std::size_t kShortTextMax = 128;

const std::vector<std::string>& known_fields() {
  static const std::vector<std::string> names{"request_id", "record", "verdict", "comment"};
  return names;
}

Status check_review_fields(const codec::Json& body) {
  for (const auto& [name, value] : body.items()) {
    const auto& known = known_fields();
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    const std::string shown = api::openai::show_name(name);
    return Error{Code::kInvalidArgument,
                 "unknown field '" + shown + "'" + did_you_mean(name, known), shown};
  }
  return ok();
}

}  // namespace

Result<runtime::ReviewCall> parse_review(std::string_view body) {
  codec::JsonLimits limits;
  limits.nodes_max = kReviewNodesMax;
  AIOSS_TRY(const codec::Json json, codec::parse_json(body, limits));
  if (!json.is_object()) return Error{Code::kInvalidArgument, "the body must be a JSON object"};
  AIOSS_CHECK(check_review_fields(json));
  api::openai::Fields fields(json, "");
  runtime::ReviewCall call;
  call.request_id = fields.text("request_id", kShortTextMax).value_or("");
  constexpr std::int64_t kNone = -1;
  const std::int64_t record =
      fields.integer("record", 0, std::numeric_limits<std::int64_t>::max(), kNone);
  if (record != kNone) call.record = static_cast<std::uint64_t>(record);
  call.verdict = fields.required_text("verdict", kShortTextMax);
  call.comment = fields.text("comment", runtime::kReviewCommentBytesMax).value_or("");
  AIOSS_CHECK(fields.finish());
  AIOSS_CHECK(runtime::check_review(call));
  return call;
}

std::string review_answer(const runtime::Reviewed& reviewed, std::string_view verdict) {
  codec::OrderedJson out;
  out["object"] = "review";
  out["record"] = reviewed.record;
  out["reviewed_record"] = reviewed.reviewed_record;
  out["request_id"] = reviewed.request_id;
  out["verdict"] = verdict;
  if (reviewed.comment_salt) out["comment_salt"] = codec::to_hex(*reviewed.comment_salt);
  return codec::dump_json(out);
}

}  // namespace aioss::server
