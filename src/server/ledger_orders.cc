#include "server/ledger_orders.h"

#include <algorithm>
#include <initializer_list>
#include <string_view>
#include <utility>

#include "base/strings.h"
#include "codec/json.h"
#include "runtime/records/opened_request.h"
#include "runtime/records/records.h"
#include "runtime/records/salts.h"

namespace aioss::server {
namespace {

constexpr codec::JsonLimits kOrderLimits{kOrderBytesMax, 4, 32};

// An object with these members and no others.
Result<codec::Json> parse_order(const std::string& body,
                                std::initializer_list<std::string_view> members) {
  AIOSS_TRY(codec::Json order, codec::parse_json(body, kOrderLimits));
  if (!order.is_object()) return Error{Code::kInvalidArgument, "the body must be a JSON object"};
  for (const auto& [name, value] : order.items()) {
    if (std::find(members.begin(), members.end(), name) == members.end()) {
      return Error{Code::kInvalidArgument, "unknown field '" + one_line(name) + "'", name};
    }
  }
  return order;
}

Result<std::string> text_of(const codec::Json& order, const std::string& name) {
  const auto found = order.find(name);
  if (found != order.end() && found->is_string()) return found->get<std::string>();
  return Error{Code::kInvalidArgument, "'" + name + "' is needed, and must be a string", name};
}

Result<std::string> open_request(const std::string& body, const codec::Map& actor,
                                 ledger::Custody& custody) {
  AIOSS_TRY(const codec::Json order, parse_order(body, {"request"}));
  AIOSS_TRY(const std::string request, text_of(order, "request"));
  AIOSS_TRY(const ledger::OpenedRequest opened, custody.open_request(request, actor));
  AIOSS_TRY(const codec::OrderedJson json, runtime::opened_json(opened));
  return codec::dump_json(json);
}

Result<std::string> erase(const std::string& body, const codec::Map& actor,
                          ledger::Custody& custody) {
  AIOSS_TRY(const codec::Json order, parse_order(body, {"subject", "ground"}));
  AIOSS_TRY(const std::string who, text_of(order, "subject"));
  AIOSS_TRY(const std::string ground, text_of(order, "ground"));
  AIOSS_TRY(const ledger::Erased erased, custody.erase(who, ground, actor));
  codec::OrderedJson json;
  json["erased"] = erased.erased;
  if (erased.erased) {
    json["subject"] = erased.subject;
    json["blobs"] = erased.blobs;
    json["record"] = erased.record;
  }
  return codec::dump_json(json);
}

Result<std::string> hold(const std::string& body, const codec::Map& actor,
                         ledger::Custody& custody) {
  AIOSS_TRY(const codec::Json order, parse_order(body, {"subject", "case", "on"}));
  AIOSS_TRY(const std::string who, text_of(order, "subject"));
  AIOSS_TRY(const std::string case_name, text_of(order, "case"));
  const auto on = order.find("on");
  if (on == order.end() || !on->is_boolean()) {
    return Error{Code::kInvalidArgument, "'on' is needed, and must be true or false", "on"};
  }
  AIOSS_TRY(const std::uint64_t record, custody.hold(who, on->get<bool>(), case_name, actor));
  codec::OrderedJson json;
  json["on"] = on->get<bool>();
  json["record"] = record;
  return codec::dump_json(json);
}

std::string holds(const ledger::Custody& custody) {
  codec::OrderedJson list = codec::OrderedJson::array();
  for (const ledger::LegalHold& one : custody.holds()) {
    codec::OrderedJson json;
    json["subject"] = one.subject;
    json["case"] = one.case_name;
    json["record"] = one.record;
    list.push_back(std::move(json));
  }
  codec::OrderedJson json;
  json["holds"] = std::move(list);
  return codec::dump_json(json);
}

}  // namespace

bool is_ledger_order(Action action) {
  return action == Action::kLedgerOpen || action == Action::kLedgerErase ||
         action == Action::kLedgerHold || action == Action::kLedgerHolds;
}

Status check_named(const runtime::Principal& principal) {
  if (!runtime::is_local(principal)) return ok();
  return Error{Code::kForbidden,
               "this is recorded under the name of whoever orders it, and without keys nobody has "
               "one: start the server with a key file, or ask over its Unix socket"};
}

Result<std::string> carry_out(Action action, const std::string& body, runtime::Principal principal,
                              ledger::Custody& custody) {
  AIOSS_CHECK(check_named(principal));
  if (action == Action::kLedgerHolds) return holds(custody);
  AIOSS_CHECK(runtime::identify(custody, principal));
  const codec::Map actor = runtime::records::actor(principal);
  if (action == Action::kLedgerOpen) return open_request(body, actor, custody);
  if (action == Action::kLedgerErase) return erase(body, actor, custody);
  return hold(body, actor, custody);
}

}  // namespace aioss::server
