#include "server/engine_order_route.h"

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "api/openai/response.h"
#include "api/openai/rules.h"
#include "codec/json.h"
#include "runtime/catalogue/catalogue.h"
#include "server/replies.h"
#include "server/wrong_field.h"

namespace aioss::server {
namespace {

using http::net::awaitable;
using EngineWhat = runtime::EngineOrder::What;

constexpr std::string_view kWord = "/engine";
constexpr std::array<std::string_view, 3> kOrderFields{"engine", "pin", "rollback"};
constexpr std::size_t kOrderNodesMax = 32;  // three fields, and room to name the one that is wrong
constexpr std::chrono::milliseconds kOrderTimeout{30'000};

// Absent: nothing.
Result<std::optional<bool>> flag(const codec::Json& body, const char* name) {
  const auto found = body.find(name);
  if (found == body.end()) return std::optional<bool>();
  if (!found->is_boolean()) return wrong_field(name, "takes true or false");
  return std::optional<bool>(found->get<bool>());
}

}  // namespace

bool is_engine_order(std::string_view target) {
  return target.size() > kWord.size() && target.ends_with(kWord) &&
         target.find('/') == target.size() - kWord.size();
}

Result<runtime::EngineOrder> parse_engine_order(std::string_view target, std::string_view body) {
  codec::JsonLimits limits;
  limits.nodes_max = kOrderNodesMax;
  AIOSS_TRY(const codec::Json json, codec::parse_json(body, limits));
  if (!json.is_object()) return Error{Code::kInvalidArgument, "the body must be a JSON object"};
  AIOSS_CHECK(api::openai::check_known(json, "", kOrderFields));
  AIOSS_TRY(const std::optional<bool> pin, flag(json, "pin"));
  AIOSS_TRY(const std::optional<bool> rollback, flag(json, "rollback"));
  runtime::EngineOrder order;
  order.model = std::string(target.substr(0, target.size() - kWord.size()));
  const auto engine = json.find("engine");
  if (engine != json.end()) {
    if (!engine->is_string()) return wrong_field("engine", "takes the name of an engine");
    order.engine = engine->get<std::string>();
    if (!runtime::is_model_name(order.engine)) {
      return wrong_field("engine", "is no name of an engine");
    }
  }
  const bool goes_back = rollback.value_or(false);
  if (goes_back && (!order.engine.empty() || pin)) {
    return wrong_field("rollback", "goes without 'engine' and 'pin'");
  }
  if (goes_back) {
    order.what = EngineWhat::kRollback;
  } else if (!order.engine.empty()) {
    if (pin && !*pin) return wrong_field("pin", "false goes without 'engine'");
    order.what = pin ? EngineWhat::kPin : EngineWhat::kSwitch;
  } else if (pin && !*pin) {
    order.what = EngineWhat::kUnpin;
  } else {
    return wrong_field("engine", "name the engine to switch to: {\"engine\": \"llama\"}");
  }
  return order;
}

awaitable<int> answer_engine_order(OrderContext context, std::string target, std::string body,
                                   runtime::Principal by, http::ResponseWriter& writer) {
  auto order = parse_engine_order(target, body);
  const auto event = http::AsyncEvent::create(context.io);
  const auto result = std::make_shared<std::optional<Result<runtime::ModelEntry>>>();
  bool accepted = false;
  bool finished = false;
  if (order.has_value()) {
    order->by = std::move(by);
    SideThread::Job job = [&gateway = context.gateway, event, result, asked = *order] {
      *result = gateway.order_engine(asked);
      event->notify();
    };
    accepted = context.thread != nullptr && context.thread->run(std::move(job));
  }
  if (accepted) finished = co_await event->wait(kOrderTimeout);
  http::Response response;
  if (!order.has_value()) {
    response = error_response(order.error());
  } else if (!accepted) {
    response = error_response(Error(Code::kBusy, "too many orders are waiting; try again later"));
  } else if (!finished) {
    response = error_response(Error(Code::kTimeout, "the order was not taken in time"));
  } else if (!(*result)->has_value()) {
    response = error_response((*result)->error());
  } else {
    response = json_response(200, api::openai::model_object(***result));
  }
  const int status = response.status;
  const Status sent = co_await writer.send(std::move(response));
  co_return sent.has_value() ? status : info(Code::kCancelled).http_status;
}

}  // namespace aioss::server
