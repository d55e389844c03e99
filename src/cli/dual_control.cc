#include "cli/dual_control.h"

#include <utility>

#include "ledger/writing/policy.h"

namespace aioss::cli {
namespace {

constexpr std::string_view kRequestFlag = "--request";

Result<Consent> request(ledger::Ledger& ledger, const Services& services,
                        const Commander& commander, const ActionCall& call) {
  Consent out;
  std::vector<std::string> details = call.details;
  details.insert(details.end(), commander.evidence.begin(), commander.evidence.end());
  codec::Map body = ledger.controls().request(services.random, commander.actor, call.action,
                                              details, out.request_id);
  auto written = ledger.append_and_wait(ledger::RecordType::kAdminAction, std::move(body));
  if (!written) return std::move(written).error();
  return out;
}

Result<Consent> use(ledger::Ledger& ledger, const Services& services, const Commander& commander,
                    const ActionCall& call, const std::string& id) {
  AIOSS_TRY(auto use,
            ledger.controls().use(id, commander.actor, call.action, services.clock.wall_ns()));
  auto written = ledger.append_and_wait(ledger::RecordType::kAdminAction, std::move(use.body));
  if (!written) return std::move(written).error();
  return Consent{true, id, std::move(use.approvals), std::move(use.details)};
}

}  // namespace

Result<Consent> consent(ledger::Ledger& ledger, const Services& services,
                        const Invocation& invocation, const Commander& commander,
                        const ActionCall& call) {
  const auto id = invocation.text(kRequestFlag);
  if (!ledger.controls().policy().needs_approval(call.action)) {
    if (id)
      return Error(Code::kUsage, "--request: this ledger does not ask for two operators here");
    return Consent{true, "", {}, call.details};
  }
  if (!commander.has_key) {
    return Error(Code::kUsage,
                 "this ledger asks for two operators here; say who you are with "
                 "--operator-key @FILE and --keys FILE");
  }
  if (id) return use(ledger, services, commander, call, *id);
  return request(ledger, services, commander, call);
}

std::string detail(const std::vector<std::string>& details, std::string_view name) {
  const std::string prefix = std::string(name) + "=";
  for (const std::string& entry : details) {
    if (entry.starts_with(prefix)) return entry.substr(prefix.size());
  }
  return "";
}

}  // namespace aioss::cli
