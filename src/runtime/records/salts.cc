#include "runtime/records/salts.h"

namespace aioss::runtime {

ledger::SubjectName subject_name(const Principal& principal) {
  return {principal.tenant, principal.user};
}

bool is_local(const Principal& principal) {
  return principal.tenant == "local" && principal.user == "local";
}

Status identify(ledger::Custody& custody, Principal& principal) {
  AIOSS_TRY(const ledger::SubjectPtr subject, custody.obtain(subject_name(principal)));
  principal.subject = subject->id();
  return ok();
}

std::optional<Digest> salt_for(const ledger::Custody& custody, const Principal& principal,
                               std::string_view request_id, std::string_view field) {
  const ledger::SubjectPtr subject = custody.find(subject_name(principal));
  if (subject == nullptr) return std::nullopt;
  return subject->salt(request_id, field);
}

CallerSecrets secrets_in(ledger::Custody& custody) {
  CallerSecrets secrets;
  secrets.name_in_records = [&custody](const Principal& caller) {
    const ledger::SubjectPtr subject = custody.find(subject_name(caller));
    return subject == nullptr ? std::string() : subject->id();
  };
  secrets.identify = [&custody](Principal& caller) { return identify(custody, caller); };
  secrets.salt = [&custody](const Principal& caller, const std::string& request_id,
                            const std::string& field) {
    return salt_for(custody, caller, request_id, field);
  };
  return secrets;
}

}  // namespace aioss::runtime
