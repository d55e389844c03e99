#include "server/api_core.h"

#include <cstddef>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "api/openai/response.h"
#include "base/log.h"
#include "base/strings.h"
#include "base/suggest.h"
#include "runtime/records/salts.h"
#include "server/anchor_routes.h"
#include "server/engine_order_route.h"
#include "server/engines_page.h"
#include "server/ledger_orders.h"
#include "server/memory_page.h"
#include "server/model_order_route.h"
#include "server/plan_route.h"
#include "server/queue_page.h"
#include "server/replies.h"
#include "server/resume_route.h"
#include "server/review_body.h"
#include "server/wishes.h"

namespace aioss::server {
namespace {

using api::openai::Endpoint;
using http::net::awaitable;
using runtime::Role;

// A directory on a slow disk; nobody waits longer for a list.
constexpr std::chrono::milliseconds kRescanTimeout{60'000};
// To open a request is to search a ledger of years; to erase somebody, to overwrite all their
// texts.
constexpr std::chrono::milliseconds kLedgerOrderTimeout{600'000};
// A search through a ledger of years.
constexpr std::chrono::milliseconds kSearchTimeout{120'000};
constexpr std::string_view kUnknownRoute = "other";  // the label in metrics

DoorOptions door_options(const KeyRing* keys, const ApiOptions& options) {
  DoorOptions door;
  door.keys = keys;
  door.operator_uids = options.operator_uids;
  return door;
}

// The beginning of something from a request, fit for a message.
std::string excerpt(std::string_view text) {
  constexpr std::size_t kShownMax = 80;
  std::string shown = one_line(text.substr(0, kShownMax));
  return text.size() > kShownMax ? shown + "..." : shown;
}

Error unknown_route(const std::string& path) {
  std::vector<std::string> known;
  for (const Route& route : routes()) {
    if (!route.path.ends_with('/')) known.emplace_back(route.path);
  }
  std::string hint = did_you_mean(path, known);
  if (hint.empty()) {
    hint = "; there are";
    for (const std::string& route : known) hint += " " + route;
  }
  return {Code::kNotFound, "there is no route '" + excerpt(path) + "'" + hint};
}

Status check_role(const runtime::Principal& principal, Action action) {
  switch (action) {
    case Action::kChat:
    case Action::kCompletion:
    case Action::kStream:  // and whose it is decides
      return require_role(principal, {Role::kUser, Role::kOperator});
    case Action::kMetrics:
    case Action::kQueue:
    case Action::kPlan:
    case Action::kMemory:
    case Action::kEngines:
    case Action::kReview:
      return require_role(principal, {Role::kOperator, Role::kAuditor});
    case Action::kRescan:
    case Action::kModelOrder:
    case Action::kLedgerOpen:
    case Action::kLedgerErase:
    case Action::kLedgerHold:
    case Action::kLedgerHolds:
    case Action::kAnchorExport:
    case Action::kAnchorImport:
      return require_role(principal, {Role::kOperator});
    case Action::kModels:
    case Action::kModel:
    case Action::kReceipt:  // whose it is decides
    case Action::kHealth:
      return ok();
  }
  return Error{Code::kInternal, "a route without a rule"};
}

// Whether it writes a record, or searches the ledger for one, without the gateway seeing it. Not
// here: erasures and holds, which the law demands and nobody's budget may delay.
bool costs_a_record(Action action) {
  return action == Action::kReceipt || action == Action::kAnchorExport ||
         action == Action::kAnchorImport || action == Action::kLedgerOpen;
}

// The server no longer counts a body that we have (http/server.h), so that of an answer under way
// none may be left but a small one. This is what may wait with its job; the larger bodies, of
// generations and reviews, are read at once; the other routes take none.
std::size_t body_bytes_max(Action action) {
  if (action == Action::kAnchorImport) return kAnchorBodyBytesMax;
  if (is_ledger_order(action)) return kOrderBytesMax;
  return std::numeric_limits<std::size_t>::max();
}

Status check_body(const http::Request& request, Action action) {
  const std::size_t bytes_max = body_bytes_max(action);
  if (request.body.size() <= bytes_max) return ok();
  return Error{Code::kTooLarge,
               "the body may have " + std::to_string(bytes_max) + " bytes on this route"};
}

// Assigning an empty string would keep the memory.
void drop_body(http::Request& request) {
  std::string().swap(request.body);
}

// An erasure is not done while what was computed of somebody's prompts is kept.
void forget_too(std::optional<Result<std::string>>& erased, runtime::Gateway& gateway) {
  if (!erased->has_value()) return;
  if (Status forgotten = gateway.forget_prefixes(); !forgotten) {
    erased = std::move(forgotten).error().with_context(
        "the texts and keys are erased, but the models' workers still run with what they computed "
        "of them; restart the server");
  }
}

// What answers a request for an anchor, also if the answer is that it cannot be done. `text`: the
// query of an export, the body of an import.
http::Response answer_anchor(Action action, const std::string& text,
                             const runtime::Principal& principal, ledger::Anchors* anchors) {
  if (anchors == nullptr) {
    return error_response(Error(Code::kUnsupported, "this server gives out no checkpoints"));
  }
  if (action == Action::kAnchorExport) {
    const auto wish = parse_anchor_export(text, principal);
    return wish ? answer_anchor_export(*anchors, *wish) : error_response(wish.error());
  }
  const auto given = parse_anchor_import(text, principal);
  return given ? answer_anchor_import(*anchors, *given) : error_response(given.error());
}

awaitable<int> reply(http::ResponseWriter& writer, http::Response response) {
  const int status = response.status;
  const Status sent = co_await writer.send(std::move(response));
  co_return sent.has_value() ? status : info(Code::kCancelled).http_status;
}

// Faults are told once each; whoever polls /health knows without a line every time.
void log_request(const http::Request& request, std::string_view label, int status) {
  const bool fault = status >= 500 && label != "/health";
  const auto level = fault ? log::Level::kWarn : log::Level::kDebug;
  log::write(level, "request",
             {{"method", excerpt(request.method)},
              {"route", label},
              {"status", status},
              {"peer", request.peer.address}});
}

}  // namespace

ApiCore::ApiCore(const Parts& parts, std::unique_ptr<KeyRing> keys, const ApiOptions& options)
    : parts_(parts),
      keys_(std::move(keys)),
      door_(door_options(keys_.get(), options)),
      metrics_(parts.registry),
      shelf_(StreamShelf::create(parts.io)),
      generation_{parts.io, parts.gateway, metrics_, parts.clock, options.ping_interval, *shelf_},
      resume_seconds_max_(options.resume_seconds_max),
      anchors_(options.anchors),
      receipts_(options.receipts) {
  if (keys_ != nullptr) {
    key_watch_ = std::make_unique<SideThread>("keys", [keys = keys_.get()] { keys->refresh(); });
  }
  orders_ = std::make_unique<SideThread>("orders");
  history_ = std::make_unique<SideThread>("history");
  plans_ = std::make_unique<SideThread>("plans");
}

awaitable<void> ApiCore::handle(http::Request request, http::ResponseWriter& writer) {
  const RouteMatch match = match_route(request.method, request.path);
  const std::string_view label = match.route == nullptr ? kUnknownRoute : match.route->label;
  http::Request outline;  // what the log needs, after the request has been moved away
  outline.method = request.method;
  outline.peer = request.peer;
  const int status = co_await answer(match, std::move(request), writer);
  metrics_.request_answered(label, status);
  log_request(outline, label, status);
}

Result<runtime::Principal> ApiCore::admit(const http::Request& request,
                                          const RouteMatch& match) const {
  AIOSS_CHECK(check_origin(request, keys_ == nullptr));
  AIOSS_TRY(runtime::Principal principal, identify(request, door_));
  if (match.kind == RouteMatch::Kind::kUnknownPath) return unknown_route(request.path);
  if (match.kind == RouteMatch::Kind::kWrongMethod)
    return Error{Code::kMethodNotAllowed, std::string(match.route->label) + " takes " +
                                              allowed_methods(*match.route) + ", not " +
                                              excerpt(request.method)};
  AIOSS_CHECK(check_role(principal, match.route->action));
  AIOSS_CHECK(check_body(request, match.route->action));
  return principal;
}

Status ApiCore::charge(Action action, const runtime::Principal& principal) {
  return costs_a_record(action) ? parts_.gateway.spend(principal) : ok();
}

awaitable<int> ApiCore::answer(const RouteMatch& match, http::Request request,
                               http::ResponseWriter& writer) {
  const bool health =
      match.kind == RouteMatch::Kind::kFound && match.route->action == Action::kHealth;
  if (health && check_origin(request, keys_ == nullptr).has_value()) {
    drop_body(request);
    http::Response response = health_page(request);
    co_return co_await reply(writer, std::move(response));
  }
  auto principal = admit(request, match);
  if (!principal.has_value()) {
    drop_body(request);
    note_stranger(principal.error(), request);
    http::Response response = error_response(principal.error());
    if (principal.error().code == Code::kMethodNotAllowed)
      response.headers.emplace_back("Allow", allowed_methods(*match.route));
    co_return co_await reply(writer, std::move(response));
  }
  const Action action = match.route->action;
  runtime::Principal caller = std::move(*principal);
  const Status charged = charge(action, caller);
  if (!charged.has_value()) {
    drop_body(request);
    http::Response response = error_response(charged.error());
    co_return co_await reply(writer, std::move(response));
  }
  if (action == Action::kChat || action == Action::kCompletion) {
    co_return co_await generate(action, std::move(request), std::move(caller), writer);
  }
  if (action == Action::kReview) {
    co_return co_await review(std::move(request), std::move(caller), writer);
  }
  if (action == Action::kAnchorImport) {
    co_return co_await anchor(action, std::move(request.body), std::move(caller), writer);
  }
  if (is_ledger_order(action)) {
    co_return co_await ledger_order(action, std::move(request), std::move(caller), writer);
  }
  if (action == Action::kModelOrder && is_engine_order(match.parameter)) {
    const OrderContext context{parts_.io, parts_.gateway, orders_.get()};
    co_return co_await answer_engine_order(context, match.parameter, std::move(request.body),
                                           std::move(caller), writer);
  }
  drop_body(request);
  if (action == Action::kAnchorExport) {
    co_return co_await anchor(action, std::move(request.query), std::move(caller), writer);
  }
  if (action == Action::kStream) {
    const ResumeContext context{parts_.io, *shelf_, generation_.ping_interval};
    co_return co_await answer_resume(context, std::move(request), match.parameter,
                                     std::move(caller), writer);
  }
  if (action == Action::kPlan) {
    const PlanContext context{parts_.io, parts_.gateway, plans_.get()};
    co_return co_await answer_plan(context, std::move(request.query), writer);
  }
  if (action == Action::kRescan) co_return co_await rescan(std::move(caller), writer);
  if (action == Action::kModelOrder) {
    co_return co_await model_order(match.parameter, request.query, std::move(caller), writer);
  }
  if (action == Action::kReceipt) {
    co_return co_await receipt(match.parameter, std::move(caller), writer);
  }
  http::Response response = page(match, request);
  co_return co_await reply(writer, std::move(response));
}

awaitable<int> ApiCore::generate(Action action, http::Request request, runtime::Principal principal,
                                 http::ResponseWriter& writer) {
  const Endpoint endpoint = action == Action::kChat ? Endpoint::kChat : Endpoint::kCompletion;
  const Result<Wishes> wishes = parse_wishes(request, resume_seconds_max_);
  if (!wishes.has_value()) {
    drop_body(request);
    parts_.gateway.note_refusal(wishes.error().code);
    http::Response response = error_response(wishes.error());
    co_return co_await reply(writer, std::move(response));
  }
  Generation generation(generation_, writer, endpoint, std::move(principal), *wishes);
  co_return co_await generation.run(std::move(request.body));
}

void ApiCore::note_stranger(const Error& error, const http::Request& request) {
  if (const auto reason = auth_reason(error, request, door_)) parts_.gateway.note_stranger(*reason);
}

awaitable<int> ApiCore::review(http::Request request, runtime::Principal principal,
                               http::ResponseWriter& writer) {
  auto call = parse_review(request.body);
  drop_body(request);
  if (!call.has_value()) {
    http::Response response = error_response(call.error());
    co_return co_await reply(writer, std::move(response));
  }
  call->by = std::move(principal);
  const auto event = http::AsyncEvent::create(parts_.io);
  const auto result = std::make_shared<std::optional<Result<runtime::Reviewed>>>();
  const std::string verdict = call->verdict;
  SideThread::Job job = [&gateway = parts_.gateway, event, result, call = std::move(*call)] {
    *result = gateway.review(call);
    event->notify();
  };
  const bool accepted = history_ != nullptr && history_->run(std::move(job));
  bool finished = false;
  if (accepted) finished = co_await event->wait(kSearchTimeout);
  http::Response response;
  if (!accepted) {
    response = error_response(Error(Code::kBusy, "too many reviews are waiting; try again later"));
  } else if (!finished) {
    response = error_response(Error(Code::kTimeout, "the ledger took too long to search"));
  } else if (!(*result)->has_value()) {
    response = error_response((*result)->error());
  } else {
    response = json_response(200, review_answer(***result, verdict));
  }
  co_return co_await reply(writer, std::move(response));
}

awaitable<int> ApiCore::rescan(runtime::Principal principal, http::ResponseWriter& writer) {
  const auto event = http::AsyncEvent::create(parts_.io);
  const auto result = std::make_shared<std::optional<Status>>();  // set before the event
  SideThread::Job job = [&gateway = parts_.gateway, event, result, by = std::move(principal)] {
    *result = gateway.rescan(by);
    event->notify();
  };
  const bool accepted = orders_ != nullptr && orders_->run(std::move(job));
  if (!accepted) {
    http::Response response =
        error_response(Error(Code::kBusy, "too many rescans are waiting; try again later"));
    co_return co_await reply(writer, std::move(response));
  }
  const bool finished = co_await event->wait(kRescanTimeout);
  http::Response response;
  if (!finished) {
    response = error_response(Error(Code::kTimeout, "the models directory took too long to read"));
  } else if (!(*result)->has_value()) {
    response = error_response((*result)->error());
  } else {
    response = json_response(200, api::openai::model_list(parts_.gateway.models()));
  }
  co_return co_await reply(writer, std::move(response));
}

awaitable<int> ApiCore::model_order(std::string target, std::string query,
                                    runtime::Principal principal, http::ResponseWriter& writer) {
  auto order = parse_model_order(target, query, principal);
  if (!order.has_value()) {
    http::Response response = error_response(order.error());
    co_return co_await reply(writer, std::move(response));
  }
  const auto event = http::AsyncEvent::create(parts_.io);
  const auto result = std::make_shared<std::optional<Result<runtime::ModelEntry>>>();
  SideThread::Job job = [&gateway = parts_.gateway, event, result, order = std::move(*order)] {
    *result = gateway.order(order);
    event->notify();
  };
  const bool accepted = orders_ != nullptr && orders_->run(std::move(job));
  bool finished = false;
  if (accepted) finished = co_await event->wait(kRescanTimeout);
  http::Response response;
  if (!accepted) {
    response = error_response(Error(Code::kBusy, "too many orders are waiting; try again later"));
  } else if (!finished) {
    response = error_response(Error(Code::kTimeout, "the order was not taken in time"));
  } else if (!(*result)->has_value()) {
    response = error_response((*result)->error());
  } else {
    response = json_response(200, api::openai::model_object(***result));
  }
  co_return co_await reply(writer, std::move(response));
}

awaitable<int> ApiCore::ledger_order(Action action, http::Request request,
                                     runtime::Principal principal, http::ResponseWriter& writer) {
  ledger::Custody* const custody = parts_.gateway.custody();
  const auto event = http::AsyncEvent::create(parts_.io);
  const auto result = std::make_shared<std::optional<Result<std::string>>>();
  SideThread::Job job = [custody, action, event, result, body = std::move(request.body),
                         by = std::move(principal), &gateway = parts_.gateway] {
    *result = carry_out(action, body, by, *custody);
    if (action == Action::kLedgerErase) forget_too(*result, gateway);
    event->notify();
  };
  const bool accepted = custody != nullptr && orders_ != nullptr && orders_->run(std::move(job));
  bool finished = false;
  if (accepted) finished = co_await event->wait(kLedgerOrderTimeout);
  http::Response response;
  if (!accepted) {
    response = error_response(Error(Code::kBusy, "too many orders are waiting; try again later"));
  } else if (!finished) {
    response = error_response(
        Error(Code::kTimeout, "the order is still being carried out; the ledger will tell"));
  } else if (!(*result)->has_value()) {
    response = error_response((*result)->error());
  } else {
    response = json_response(200, ***result);
  }
  co_return co_await reply(writer, std::move(response));
}

awaitable<int> ApiCore::anchor(Action action, std::string text, runtime::Principal principal,
                               http::ResponseWriter& writer) {
  const auto event = http::AsyncEvent::create(parts_.io);
  const auto answer = std::make_shared<std::optional<http::Response>>();  // set before the event
  SideThread::Job job = [action, text = std::move(text), by = std::move(principal),
                         anchors = anchors_, event, answer, custody = parts_.gateway.custody()] {
    runtime::Principal named = by;
    const Status known = custody == nullptr ? ok() : runtime::identify(*custody, named);
    *answer = known ? answer_anchor(action, text, named, anchors) : error_response(known.error());
    event->notify();
  };
  const bool accepted = history_ != nullptr && history_->run(std::move(job));
  bool finished = false;
  if (accepted) finished = co_await event->wait(kSearchTimeout);
  http::Response response;
  if (finished) {
    response = std::move(**answer);
  } else if (accepted) {
    response = error_response(Error(Code::kTimeout, "the disk of the ledger took too long"));
  } else {
    response = error_response(Error(Code::kBusy, "too many anchors are waiting; try again later"));
  }
  co_return co_await reply(writer, std::move(response));
}

// Puts it into the queue, or says why not.
Status ApiCore::ask_for_receipt(const std::string& request_id, const runtime::Principal& caller,
                                const std::shared_ptr<http::AsyncEvent>& event,
                                const std::shared_ptr<ReceiptMade>& made) {
  if (!receipts_) return Error{Code::kNotFound, "this server gives no receipts"};
  if (!receipts_asked_.enter(caller.tenant)) {
    return Error{Code::kBusy, "a receipt for the tenant '" + caller.tenant +
                                  "' is being made; try again in a moment"};
  }
  SideThread::Job job = [this, request_id, caller, event, made] {
    *made = receipts_(caller, request_id);
    receipts_asked_.leave(caller.tenant);  // not when its client gives up: it still takes its place
    event->notify();
  };
  if (history_ != nullptr && history_->run(std::move(job))) return ok();
  receipts_asked_.leave(caller.tenant);
  return Error{Code::kBusy, "too many receipts are waiting; try again later"};
}

awaitable<int> ApiCore::receipt(std::string request_id, runtime::Principal principal,
                                http::ResponseWriter& writer) {
  const auto event = http::AsyncEvent::create(parts_.io);
  const auto made = std::make_shared<ReceiptMade>();
  const Status asked = ask_for_receipt(request_id, principal, event, made);
  bool finished = false;
  if (asked.has_value()) finished = co_await event->wait(kSearchTimeout);
  http::Response response;
  if (!asked.has_value()) {
    response = error_response(asked.error());
  } else if (!finished) {
    response = error_response(Error(Code::kTimeout, "the ledger took too long to search"));
  } else if (!(*made)->has_value()) {
    response = error_response((*made)->error());
  } else {
    response = json_response(200, std::move(***made));
  }
  co_return co_await reply(writer, std::move(response));
}

http::Response ApiCore::page(const RouteMatch& match, const http::Request& request) {
  switch (match.route->action) {
    case Action::kModels:
      return json_response(200, api::openai::model_list(parts_.gateway.models()));
    case Action::kModel:
      return model_page(match.parameter);
    case Action::kMetrics:
      return metrics_page();
    case Action::kQueue:
      return json_response(200, queue_page(parts_.gateway.queue()));
    case Action::kMemory:
      return json_response(200, memory_page(parts_.gateway.memory()));
    case Action::kEngines:
      return json_response(200, engines_page(parts_.gateway.engines()));
    default:
      return health_page(request);
  }
}

http::Response ApiCore::health_page(const http::Request& request) {
  const bool known = identify(request, door_).has_value();
  const std::string problem = keys_ == nullptr ? "" : keys_->problem();
  return health_response(parts_.gateway.health(), problem, known);
}

http::Response ApiCore::metrics_page() {
  metrics_.sample(parts_.gateway.health(),
                  server_ == nullptr ? http::Counters() : server_->counters());
  http::Response response(200, "text/plain; version=0.0.4; charset=utf-8",
                          parts_.registry.render());
  response.headers.emplace_back("Cache-Control", "no-store");
  return response;
}

http::Response ApiCore::model_page(const std::string& name) const {
  std::vector<std::string> names;
  const std::string real = parts_.gateway.resolve(name);
  for (const runtime::ModelEntry& entry : parts_.gateway.models()) {
    if (entry.name == real) return json_response(200, api::openai::model_object(entry));
    names.push_back(entry.name);
    names.insert(names.end(), entry.aliases.begin(), entry.aliases.end());
  }
  return error_response(Error(
      Code::kNotFound,
      "there is no model '" + excerpt(name) + "'" + did_you_mean(name, names) + "; see /v1/models",
      "model"));
}

}  // namespace aioss::server
