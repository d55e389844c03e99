#include "runtime/model_orders.h"

#include <chrono>
#include <memory>
#include <string_view>

#include "runtime/calls/answer.h"
#include "runtime/supervisor.h"

namespace aioss::runtime {
namespace {

std::string_view action_of(ModelOrder::What what) {
  namespace name = ledger::admin_action_name;
  switch (what) {
    case ModelOrder::What::kLoad:
      return name::kLoad;
    case ModelOrder::What::kUnload:
      return name::kUnload;
    case ModelOrder::What::kPin:
      return name::kPin;
    case ModelOrder::What::kUnpin:
      return name::kUnpin;
  }
  return "";
}

std::string_view action_of(EngineOrder::What what) {
  namespace name = ledger::admin_action_name;
  switch (what) {
    case EngineOrder::What::kSwitch:
      return name::kEngineSwitch;
    case EngineOrder::What::kPin:
      return name::kEnginePin;
    case EngineOrder::What::kUnpin:
      return name::kEngineUnpin;
    case EngineOrder::What::kRollback:
      return name::kEngineRollback;
  }
  return "";
}

Status check(const ModelOrder& order, const ModelView& view) {
  const auto entry = view.entry(order.model);
  const bool pinned = entry && entry->residence.pinned;
  if (order.what != ModelOrder::What::kUnload || order.force || !pinned) return ok();
  return Error{Code::kConflict,
               "model '" + order.model + "' is pinned; take the pin away first, or force it"};
}

}  // namespace

Result<ModelEntry> take_order(const ModelOrder& order, const ModelView& view, StreamDesk& desk,
                              const RecordAction& record) {
  Status may = check(order, view);
  const std::string outcome(may ? "done" : info(may.error().code).name);
  std::vector<std::string> details{"model " + order.model};
  if (order.force) details.emplace_back("force");
  AIOSS_CHECK(record({std::string(action_of(order.what)), outcome, order.by, {}}, details));
  if (!may) return std::move(may).error();
  auto answer = std::make_shared<Answer<ModelEntry>>();
  const auto pushed = desk.tasks().try_push(
      [order, answer](Supervisor& supervisor) { supervisor.order(order, answer); });
  if (pushed != TaskQueue::Push::kAccepted) {
    return Error{Code::kBusy, "the gateway is busy; try again later"};
  }
  if (auto taken = answer->wait_for(kAnswerWait)) return std::move(*taken);
  return Error{Code::kTimeout, "the gateway did not take the order in time"};
}

Result<ModelEntry> take_order(const EngineOrder& order, StreamDesk& desk,
                              const RecordAction& record) {
  std::vector<std::string> details{"model " + order.model};
  // A name that looks like one. What becomes of it is decided later, and recorded then.
  if (!order.engine.empty()) details.push_back("engine " + order.engine);
  const std::string ordered(ledger::admin_action_outcome::kOrdered);
  AIOSS_CHECK(record({std::string(action_of(order.what)), ordered, order.by, {}}, details));
  auto answer = std::make_shared<Answer<ModelEntry>>();
  const auto pushed = desk.tasks().try_push(
      [order, answer](Supervisor& supervisor) { supervisor.order_engine(order, answer); });
  if (pushed != TaskQueue::Push::kAccepted) {
    return Error{Code::kBusy, "the gateway is busy; try again later"};
  }
  if (auto taken = answer->wait_for(kAnswerWait)) return std::move(*taken);
  return Error{Code::kTimeout, "the gateway did not take the order in time"};
}

Status check_residence(const GatewayOptions& options) {
  if (options.preload.size() <= options.workers_max) return ok();
  return Error{Code::kUsage, "'preload' names " + std::to_string(options.preload.size()) +
                                 " models, and at most " + std::to_string(options.workers_max) +
                                 " are loaded at once; name fewer"};
}

}  // namespace aioss::runtime
