#include "server/plan_route.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <utility>

#include "base/strings.h"
#include "codec/json.h"
#include "http/text.h"
#include "ipc/limits.h"
#include "runtime/planning/planning.h"
#include "server/replies.h"
#include "server/wrong_field.h"

namespace aioss::server {
namespace {

using http::net::awaitable;

// One child has a minute; the quantizations of a model are tried one after the other.
constexpr std::chrono::milliseconds kPlanTimeout{300'000};

Status take_number(std::string_view name, std::string_view value,
                   std::optional<std::uint64_t>& out) {
  if (out) return wrong_field(name, "is given twice");
  out = parse_u64(value);
  return out ? ok() : wrong_field(name, "takes a whole number");
}

Status take(std::string_view name, const std::string& value, runtime::PlanCall& call) {
  if (name == "ctx") return take_number(name, value, call.context_tokens);
  if (name == "parallel") return take_number(name, value, call.parallel);
  if (name == "kv_type") {
    if (call.kv_type) return wrong_field(name, "is given twice");
    call.kv_type = value;
    return ok();
  }
  if (name == "device") {
    if (call.device) return wrong_field(name, "is given twice");
    call.device = value;
    return ok();
  }
  if (name == "lora") {
    if (call.adapters.size() >= ipc::kAdaptersLoadedMax)
      return wrong_field(name, "is given too often");
    call.adapters.push_back(value);
    return ok();
  }
  if (name != "model") {
    return wrong_field(one_line(name),
                       "there are only 'model', 'ctx', 'parallel', 'kv_type', 'device' and 'lora'");
  }
  if (!call.model.empty()) return wrong_field(name, "is given twice");
  call.model = value;
  return ok();
}

}  // namespace

Result<runtime::PlanCall> parse_plan_query(std::string_view query) {
  runtime::PlanCall call;
  for (const std::string_view part : split(query, '&')) {
    if (part.empty()) continue;
    const std::size_t equals = std::min(part.find('='), part.size());
    const auto name = http::decode_path(part.substr(0, equals));
    const auto value = http::decode_path(part.substr(std::min(equals + 1, part.size())));
    if (!name || !value) {
      return Error{Code::kInvalidArgument, "the query is not percent-encoded UTF-8"};
    }
    AIOSS_CHECK(take(*name, *value, call));
  }
  if (call.model.empty()) return wrong_field("model", "name the model to plan: ?model=NAME");
  return call;
}

awaitable<int> answer_plan(PlanContext context, std::string query, http::ResponseWriter& writer) {
  const auto call = parse_plan_query(query);
  const auto event = http::AsyncEvent::create(context.io);
  const auto result = std::make_shared<std::optional<Result<runtime::PlanAnswer>>>();
  bool accepted = false;
  bool finished = false;
  if (call.has_value()) {
    SideThread::Job job = [&gateway = context.gateway, event, result, asked = *call] {
      *result = gateway.plan(asked);
      event->notify();
    };
    accepted = context.thread != nullptr && context.thread->run(std::move(job));
  }
  if (accepted) finished = co_await event->wait(kPlanTimeout);
  http::Response response;
  if (!call.has_value()) {
    response = error_response(call.error());
  } else if (!accepted) {
    response = error_response(Error(Code::kBusy, "too many plans are waiting; try again later"));
  } else if (!finished) {
    response = error_response(Error(Code::kTimeout, "the plan took too long; try again later"));
  } else if (!(*result)->has_value()) {
    response = error_response((*result)->error());
  } else {
    response = json_response(200, codec::dump_json(runtime::plan_json(***result)));
  }
  const int status = response.status;
  const Status sent = co_await writer.send(std::move(response));
  co_return sent.has_value() ? status : info(Code::kCancelled).http_status;
}

}  // namespace aioss::server
