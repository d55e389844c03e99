#include "runtime/records/receipts.h"

#include <algorithm>
#include <utility>

#include "ledger/evidence/receipt.h"
#include "ledger/format/record.h"
#include "ledger/reading/history.h"
#include "runtime/records/records.h"

namespace aioss::runtime {
namespace {

namespace key = ledger::key;

// Ours have 20 characters. It is looked for in gigabytes of records, so what cannot be one is not.
constexpr std::size_t kRequestIdBytesMax = 64;

bool is_request_id(const std::string& id) {
  const bool plain = std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  });
  return plain && !id.empty() && id.size() <= kRequestIdBytesMax;
}

Error unknown() {
  return {Code::kNotFound,
          "there is no request of that id, or it is another caller's; an answer's "
          "header X-Aioss-Request-Id names it"};
}

bool says(const codec::Map& actor, std::uint64_t key, const std::string& text) {
  const codec::Value* const value = actor.find(key);
  return value != nullptr && value->if_text() != nullptr && *value->if_text() == text;
}

// Of the choices that the answer has.
std::size_t choices_of(const ledger::Record& end) {
  const auto choices = end.body.get_array(key::infer_result::kChoices, "choices");
  return choices ? (*choices)->size() : 0;
}

}  // namespace

bool Receipts::is_of(const codec::Map& body, const Principal& caller) const {
  const auto actor = body.get_map(key::kActor, "actor");
  const std::string name =
      secrets_.name_in_records ? secrets_.name_in_records(caller) : caller.user;
  if (!actor || name.empty() || !says(**actor, key::actor::kTenant, caller.tenant)) return false;
  return says(**actor, key::actor::kName, name) || says(**actor, key::actor::kSubject, name);
}

std::optional<ledger::Salts> Receipts::salts_for(const Principal& caller,
                                                 const std::string& request_id,
                                                 const ledger::RequestRecords& found) const {
  if (!secrets_.salt || !found.request) return std::nullopt;
  ledger::Salts salts;
  salts.prompt = secrets_.salt(caller, request_id, "prompt");
  if (!salts.prompt) return std::nullopt;
  if (found.request->record.body.find(key::infer_request::kStopCommitment)) {
    salts.stop = secrets_.salt(caller, request_id, "stop");
  }
  const std::size_t choices = found.end ? choices_of(found.end->record) : 0;
  for (std::size_t i = 0; i < choices; ++i) {
    const auto salt = secrets_.salt(caller, request_id, "output/" + std::to_string(i));
    if (salt) salts.outputs.push_back(*salt);
  }
  return salts;
}

Status Receipts::record_access(const Principal& caller, std::uint64_t index) const {
  Principal named = caller;
  if (secrets_.identify) AIOSS_CHECK(secrets_.identify(named));
  codec::Map access;
  access.set(key::kActor, codec::Value::map(records::actor(named)))
      .set(key::kRefIndex, codec::Value::uint(index))
      .set(key::access::kWhat, codec::Value::text("receipt"));
  const auto recorded = ledger_.append_and_wait(ledger::RecordType::kAccess, std::move(access));
  return recorded ? ok() : Status(recorded.error());
}

Result<std::string> Receipts::receipt(const Principal& caller,
                                      const std::string& request_id) const {
  if (!is_request_id(request_id)) return unknown();
  auto found = ledger_.history().find_request(request_id);
  if (!found && found.error().code == Code::kNotFound) return unknown();
  if (!found) return std::move(found).error();
  // The actor stands in the request's record, or in the abort of one that was refused before.
  const ledger::Record& first = (found->request ? found->request : found->end)->record;
  const bool own = is_of(first.body, caller);
  if (!own && caller.role == Role::kUser) return unknown();
  const auto salts = own ? salts_for(caller, request_id, *found) : std::nullopt;
  if (!own) AIOSS_CHECK(record_access(caller, first.index));
  const auto covering = [this](std::uint64_t size) -> Result<std::string> {
    if (ledger_.health().checkpoint_size >= size) return ledger_.checkpoint();
    return ledger_.checkpoint_now();
  };
  const ledger::ReceiptSource source{ledger_.history(), ledger_.identity().origin, covering};
  AIOSS_TRY(ledger::Receipt receipt, make_receipt(source, request_id, std::move(*found)));
  receipt.salts = salts;
  return ledger::write_receipt(receipt);
}

}  // namespace aioss::runtime
