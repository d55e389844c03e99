#include "ledger/writing/policy.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "base/strings.h"
#include "codec/hex.h"
#include "codec/json.h"

namespace aioss::ledger {
namespace {

namespace own = key::admin_action;

constexpr std::string_view kPolicyFormat = "aioss-policy/1";
constexpr std::uint64_t kPolicyBytesMax = 4'096;
constexpr std::array kActions{kEraseAction, kRotateAction};
constexpr std::string_view kSetPolicy = "policy", kRequestPrefix = "request_", kApprove = "approve";
constexpr std::string_view kSet = "set", kRequested = "requested", kApproved = "approved",
                           kBegun = "begun";
constexpr std::size_t kIdRandomBytes = 8;
constexpr std::uint64_t kPolicyIndex = 2;  // behind GENESIS

bool is_action(std::string_view name) {
  return std::find(kActions.begin(), kActions.end(), name) != kActions.end();
}

codec::Array texts(const std::vector<std::string>& values) {
  codec::Array out;
  for (const std::string& value : values) {
    out.push_back(codec::Value::text(replace_invalid_utf8(value)));
  }
  return out;
}

std::vector<std::string> texts_of(const codec::Map& body, std::uint64_t key) {
  std::vector<std::string> out;
  const auto array = body.get_array(key, "texts");
  if (!array) return out;
  for (const codec::Value& value : **array) {
    if (const std::string* text = value.if_text()) out.push_back(*text);
  }
  return out;
}

std::string path_of(const std::string& directory) {
  return directory + '/' + std::string(kPolicyFile);
}

Error not_understood() {
  return {Code::kCorrupt,
          "the ledger's file 'policy' cannot be understood; put the right one back"};
}

}  // namespace

bool Policy::needs_approval(std::string_view action) const {
  return std::find(dual_control.begin(), dual_control.end(), action) != dual_control.end();
}

Result<Policy> parse_policy_actions(std::string_view text) {
  Policy policy;
  if (text.empty()) return policy;
  for (const std::string_view part : split(text, ',')) {
    const std::string_view action = trim(part);
    if (!is_action(action)) {
      return Error{Code::kUsage, "'" + one_line(action) +
                                     "' cannot be put under dual control; "
                                     "erase and rotate can"};
    }
    policy.dual_control.emplace_back(action);
  }
  auto& actions = policy.dual_control;
  std::sort(actions.begin(), actions.end());
  actions.erase(std::unique(actions.begin(), actions.end()), actions.end());
  return policy;
}

Result<Policy> read_policy(os::FileSystem& fs, const std::string& directory) {
  auto bytes = os::read_file(fs, path_of(directory), kPolicyBytesMax);
  if (!bytes && bytes.error().code == Code::kNotFound) return Policy();
  if (!bytes) return std::move(bytes).error();
  const auto json = codec::parse_json(
      as_text(*bytes), {.bytes_max = kPolicyBytesMax, .depth_max = 3, .nodes_max = 32});
  if (!json || !json->is_object()) return not_understood();
  const auto format = json->find("format");
  const auto actions = json->find("dual_control");
  if (format == json->end() || *format != kPolicyFormat || actions == json->end() ||
      !actions->is_array()) {
    return not_understood();
  }
  std::string list;
  for (const auto& action : *actions) {
    if (!action.is_string()) return not_understood();
    list += (list.empty() ? "" : ",") + action.get<std::string>();
  }
  auto policy = parse_policy_actions(list);
  if (!policy) return not_understood();
  return policy;
}

Status write_policy(os::FileSystem& fs, const std::string& directory, const Policy& policy) {
  codec::OrderedJson json;
  json["format"] = kPolicyFormat;
  json["dual_control"] = policy.dual_control;
  return os::replace_file(fs, path_of(directory), as_bytes(codec::dump_json(json) + "\n"));
}

codec::Map admin_action_body(const AdminAction& action) {
  using codec::Value;
  codec::Map body;
  if (action.actor) body.set(key::kActor, Value::map(*action.actor));
  body.set(own::kAction, Value::text(action.action))
      .set(own::kOutcome, Value::text(action.outcome))
      .set(own::kDetails, Value::array(texts(action.details)));
  if (!action.approvals.empty()) body.set(own::kApprovals, Value::array(texts(action.approvals)));
  return body;
}

codec::Map policy_body(const Policy& policy) {
  AdminAction action;
  action.action = kSetPolicy;
  action.outcome = kSet;
  action.details = policy.dual_control;
  return admin_action_body(action);
}

std::string operator_name(const codec::Map& actor) {
  const auto tenant = actor.get_text(key::actor::kTenant, "tenant");
  const auto name = actor.get_text(key::actor::kName, "name");
  return (tenant ? *tenant : std::string()) + '/' + (name ? *name : std::string());
}

namespace {

std::string source_of(const codec::Map& actor) {
  auto source = actor.get_text(key::actor::kSource, "source");
  return source ? std::move(*source) : std::string();
}

// By name, and by key: who was erased and comes back has another name and the same key.
bool is_requester(const ActionRequest& request, const codec::Map& actor) {
  const std::string source = source_of(actor);
  return operator_name(actor) == request.requested_by ||
         (!source.empty() && source == request.requested_with);
}

}  // namespace

void ControlBook::see(std::uint64_t index, RecordType type, const codec::Map& body) {
  if (type != RecordType::kAdminAction) return;
  const auto action = body.get_text(own::kAction, "action");
  const auto outcome = body.get_text(own::kOutcome, "outcome");
  if (!action || !outcome) return;
  std::vector<std::string> details = texts_of(body, own::kDetails);
  if (index == kPolicyIndex) {  // at no other place: a policy is for a ledger's life
    if (*action == kSetPolicy && *outcome == kSet) policy_.dual_control = std::move(details);
    return;
  }
  const auto actor = body.get_map(key::kActor, "actor");
  if (!actor || details.empty()) return;
  const std::string id = details.front();
  const auto same = [&id](const ActionRequest& request) { return request.id == id; };
  const auto known = std::find_if(requests_.begin(), requests_.end(), same);
  if (action->starts_with(kRequestPrefix) && *outcome == kRequested && known == requests_.end()) {
    ActionRequest request;
    request.id = id;
    request.action = action->substr(kRequestPrefix.size());
    request.details.assign(details.begin() + 1, details.end());
    request.requested_by = operator_name(**actor);
    request.requested_with = source_of(**actor);
    request.index = index;
    // A body that was not read back has no time yet: it is of now.
    const auto wall = body.get_int(key::kWallNs, "time");
    request.wall_ns = wall ? *wall : std::numeric_limits<std::int64_t>::max();
    if (requests_.size() == kOpenActionRequestsMax) requests_.erase(requests_.begin());
    requests_.push_back(std::move(request));
  } else if (known == requests_.end()) {
    return;
  } else if (*action == kApprove && *outcome == kApproved) {
    if (!is_requester(*known, **actor)) known->approved_by = operator_name(**actor);
  } else if (*action == known->action && *outcome == kBegun) {
    requests_.erase(known);
  }
}

codec::Map ControlBook::request(crypto::Random& random, const codec::Map& actor,
                                std::string_view action, const std::vector<std::string>& details,
                                std::string& id) const {
  std::array<std::uint8_t, kIdRandomBytes> bytes{};
  random.fill(bytes);
  id = "a_" + codec::to_hex(bytes);
  AdminAction record;
  record.actor = actor;
  record.action = std::string(kRequestPrefix) + std::string(action);
  record.outcome = kRequested;
  record.details = {id};
  record.details.insert(record.details.end(), details.begin(), details.end());
  return admin_action_body(record);
}

Result<const ActionRequest*> ControlBook::find(std::string_view id, std::int64_t now_ns) const {
  const auto found = std::find_if(requests_.begin(), requests_.end(),
                                  [&id](const ActionRequest& request) { return request.id == id; });
  if (found == requests_.end()) {
    return Error{Code::kNotFound, "there is no open request " + one_line(id) +
                                      "; 'aioss ledger approve' without an ID lists them"};
  }
  if (now_ns - found->wall_ns > kRequestLifeNs) {
    return Error{Code::kNotFound, "the request " + one_line(id) +
                                      " is older than 30 days and void; request it again"};
  }
  return &*found;
}

Result<codec::Map> ControlBook::approve(std::string_view id, const codec::Map& actor,
                                        std::int64_t now_ns) const {
  AIOSS_TRY(const ActionRequest* request, find(id, now_ns));
  if (is_requester(*request, actor)) {
    return Error{Code::kForbidden, "this is your own request; another operator has to approve it"};
  }
  if (!request->approved_by.empty()) {
    return Error{Code::kConflict, "the request is approved already"};
  }
  AdminAction record;
  record.actor = actor;
  record.action = kApprove;
  record.outcome = kApproved;
  record.details = {request->id, request->action};
  return admin_action_body(record);
}

Result<ControlBook::Use> ControlBook::use(std::string_view id, const codec::Map& actor,
                                          std::string_view action, std::int64_t now_ns) const {
  AIOSS_TRY(const ActionRequest* request, find(id, now_ns));
  if (request->action != action) {
    return Error{Code::kUsage, "the request " + request->id + " is for '" +
                                   one_line(request->action) + "', not for '" +
                                   std::string(action) + "'"};
  }
  if (request->approved_by.empty()) {
    return Error{Code::kForbidden, "the request " + request->id +
                                       " waits for another operator: aioss ledger approve " +
                                       request->id};
  }
  Use use;
  use.approvals = {request->requested_by, request->approved_by};
  use.details = request->details;
  AdminAction record;
  record.actor = actor;
  record.action = action;
  record.outcome = kBegun;
  record.details = {request->id};
  record.approvals = use.approvals;
  use.body = admin_action_body(record);
  return use;
}

}  // namespace aioss::ledger
