// Dual control: which actions on a ledger need two operators, and who has asked for and agreed to
// one. The truth is in the records: the rule is set when the ledger is made and recorded behind
// GENESIS (the file <ledger>/policy says the same, for people, and a ledger whose file says
// anything else is not opened); a request, its approval and its use are one ADMIN_ACTION each. So
// nothing beside the chain can be forged into an approval. What it cannot do is in docs/keys.md.
//
// Values and pure functions, except the two on the file. One thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "codec/cbor.h"
#include "crypto/random.h"
#include "ledger/format/record.h"
#include "os/file.h"

namespace aioss::ledger {

// What can be put under dual control; also the names in records.
inline constexpr std::string_view kEraseAction = "erase", kRotateAction = "rotate";

struct Policy {
  std::vector<std::string> dual_control;  // of the names above, ascending, each once

  bool needs_approval(std::string_view action) const;
  bool operator==(const Policy&) const = default;
};
// "erase,rotate", in any order; "" is nothing. kUsage names what is not an action.
Result<Policy> parse_policy_actions(std::string_view text);

inline constexpr std::string_view kPolicyFile = "policy";
// Without the file: nothing is under dual control. kCorrupt if it cannot be understood.
Result<Policy> read_policy(os::FileSystem& fs, const std::string& directory);
Status write_policy(os::FileSystem& fs, const std::string& directory, const Policy& policy);

struct AdminAction {
  std::optional<codec::Map> actor;  // of record.h; absent: the ledger itself
  std::string action, outcome;
  std::vector<std::string> details, approvals;
};
codec::Map admin_action_body(const AdminAction& action);
codec::Map policy_body(const Policy& policy);  // the ADMIN_ACTION that records it

// Requests older than this are void: what was right to ask for then may not be right any more.
inline constexpr std::int64_t kRequestLifeNs = 30LL * 24 * 3600 * 1'000'000'000;
// That are open at a time; the oldest ones give way.
inline constexpr std::size_t kOpenActionRequestsMax = 1'000;

struct ActionRequest {
  std::string id;                    // "a_" and 16 hexadecimal digits
  std::string action;                // "rotate"
  std::vector<std::string> details;  // what exactly: "reason=…"
  std::string requested_by;          // "tenant/user"
  std::string requested_with;        // the actor's source: "key:<id>"
  std::uint64_t index = 0;           // of its record
  std::int64_t wall_ns = 0;
  std::string approved_by;  // "" until another operator has agreed
};

// Follows the records: see() takes each in order, in a walk or as it is appended.
class ControlBook final {
 public:
  void see(const Record& record) { see(record.index, record.type, record.body); }
  void see(std::uint64_t index, RecordType type, const codec::Map& body);

  const Policy& policy() const { return policy_; }
  const std::vector<ActionRequest>& open_requests() const { return requests_; }

  // The body to append, or why not. What is appended must be seen, too.
  codec::Map request(crypto::Random& random, const codec::Map& actor, std::string_view action,
                     const std::vector<std::string>& details, std::string& id) const;
  // kNotFound: no such request, or too old. kForbidden: by the operator who made it. kConflict:
  // approved already.
  Result<codec::Map> approve(std::string_view id, const codec::Map& actor,
                             std::int64_t now_ns) const;
  struct Use {
    codec::Map body;                     // to append, durably, before the action
    std::vector<std::string> approvals;  // of the action's own record: requester, approver
    std::vector<std::string> details;    // as they were requested
  };
  // Once for each request. kForbidden: nobody has approved it.
  Result<Use> use(std::string_view id, const codec::Map& actor, std::string_view action,
                  std::int64_t now_ns) const;

 private:
  Result<const ActionRequest*> find(std::string_view id, std::int64_t now_ns) const;

  Policy policy_;
  std::vector<ActionRequest> requests_;  // oldest first
};

// "tenant/user" of an actor map, as approvals name operators.
std::string operator_name(const codec::Map& actor);

}  // namespace aioss::ledger
