#include "server/review_body.h"

#include <array>
#include <limits>
#include <string_view>
#include <utility>

#include "api/openai/fields.h"
#include "api/openai/rules.h"
#include "codec/hex.h"
#include "codec/json.h"

namespace aioss::server {
namespace {

constexpr std::array<std::string_view, 4> kReviewFields{"request_id", "record", "verdict",
                                                        "comment"};
constexpr std::size_t kReviewNodesMax = 64;  // four fields, and room to name the one that is wrong
constexpr std::size_t kShortTextMax = 128;

}  // namespace

Result<runtime::ReviewCall> parse_review(std::string_view body) {
  codec::JsonLimits limits;
  limits.nodes_max = kReviewNodesMax;
  AIOSS_TRY(const codec::Json json, codec::parse_json(body, limits));
  if (!json.is_object()) return Error{Code::kInvalidArgument, "the body must be a JSON object"};
  AIOSS_CHECK(api::openai::check_known(json, "", kReviewFields));
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
