#include "server/replies.h"

#include <algorithm>
#include <utility>

#include "api/openai/response.h"
#include "codec/json.h"
#include "server/queue_page.h"

namespace aioss::server {
namespace {

constexpr std::uint32_t kRetryAfterMin = 1, kRetryAfterMax = 600;  // seconds

bool is_lasting(Code code) {
  return code == Code::kModelCorrupt || code == Code::kNoMemory || code == Code::kCorrupt ||
         code == Code::kLedgerUnavailable || code == Code::kConflict;
}

// Where a load's end cannot be told.
constexpr std::uint32_t kRetryAfterLoad = 5;

// When a queue will have room, or a model be ready, as far as one can tell; nothing if the error is
// of neither.
std::optional<std::uint32_t> retry_after(const Error& error) {
  std::optional<std::uint32_t> seconds;
  if (error.code == Code::kBusy) seconds = kRetryAfterMin;
  if (error.code == Code::kShuttingDown) seconds = kRetryAfterLoad;
  if (error.backlog.has_value()) seconds = error.backlog->seconds.value_or(kRetryAfterMin);
  if (error.wait.has_value()) seconds = error.wait->estimate_seconds.value_or(kRetryAfterLoad);
  if (!seconds.has_value()) return std::nullopt;
  return std::clamp(*seconds, kRetryAfterMin, kRetryAfterMax);
}

}  // namespace

http::Response json_response(int status, std::string body) {
  http::Response response(status, "application/json", std::move(body));
  response.headers.emplace_back("Cache-Control", "no-store");
  response.headers.emplace_back("X-Content-Type-Options", "nosniff");
  return response;
}

http::Response error_response(const Error& error) {
  http::Response response =
      json_response(info(error.code).http_status, api::openai::error_body(error));
  if (const auto seconds = retry_after(error))
    response.headers.emplace_back("Retry-After", std::to_string(*seconds));
  if (error.code == Code::kUnauthenticated)
    response.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"aioss\"");
  if (is_lasting(error.code)) forbid_retry(response);
  return response;
}

void forbid_retry(http::Response& response) {
  response.headers.emplace_back("X-Should-Retry", "false");
}

http::Response health_response(const runtime::GatewayHealth& health, const std::string& key_problem,
                               bool detailed) {
  const bool ok = health.ok && health.ledger.writable;
  codec::OrderedJson body;
  body["status"] = ok ? "ok" : "unavailable";
  if (detailed) {
    body["reason"] = !health.ledger.writable ? health.ledger.reason : health.reason;
    body["version"] = AIOSS_VERSION;
    body["ledger"] = {{"writable", health.ledger.writable}, {"records", health.ledger.size}};
    body["workers"] = health.workers;
    body["running"] = health.running;
    body["queued"] = health.queued;
    codec::OrderedJson floors = latency_floors(health.loads);
    if (!floors.empty()) body["latency_floor"] = std::move(floors);
    body["confinement"] = health.confinement;
    if (!health.notices.empty()) body["notices"] = health.notices;
    if (!key_problem.empty()) body["keys"] = key_problem;
  }
  return json_response(ok ? 200 : 503, codec::dump_json(body));
}

}  // namespace aioss::server
