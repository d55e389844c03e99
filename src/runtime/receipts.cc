#include "runtime/receipts.h"

#include <algorithm>
#include <utility>

#include "ledger/history.h"
#include "ledger/receipt.h"
#include "ledger/record.h"
#include "runtime/records.h"

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

Result<codec::Map> body_of(const Bytes& frame) {
  const ledger::ParsedFrame parsed = ledger::parse_frame(frame);
  if (parsed.form != ledger::Form::kGood) return Error{Code::kCorrupt, "a record is damaged"};
  return codec::decode_map(parsed.frame.body);
}

bool says(const codec::Map& actor, std::uint64_t key, const std::string& text) {
  const codec::Value* const value = actor.find(key);
  return value != nullptr && value->if_text() != nullptr && *value->if_text() == text;
}

// Salts for the choices that the answer has.
std::size_t choices_of(const ledger::Receipt& receipt) {
  if (receipt.aborted) return 0;
  const auto body = body_of(receipt.end.frame);
  if (!body) return 0;
  const auto choices = body->get_array(key::infer_result::kChoices, "choices");
  return choices ? (*choices)->size() : 0;
}

}  // namespace

Result<std::string> Receipts::receipt(const Principal& caller,
                                      const std::string& request_id) const {
  if (!is_request_id(request_id)) return unknown();
  const auto covering = [this](std::uint64_t size) -> Result<std::string> {
    if (ledger_.health().checkpoint_size >= size) return ledger_.checkpoint();
    return ledger_.checkpoint_now();
  };
  const ledger::ReceiptSource source{ledger_.history(), ledger_.identity().origin, covering};
  auto made = ledger::make_receipt(source, request_id);
  if (!made && made.error().code == Code::kNotFound) return unknown();
  if (!made) return std::move(made).error();
  ledger::Receipt& receipt = *made;
  // The actor stands in the request's record, or in the abort of one that was refused before.
  AIOSS_TRY(const codec::Map body,
            body_of(receipt.request ? receipt.request->frame : receipt.end.frame));
  const auto actor = body.get_map(key::kActor, "actor");
  const std::string name =
      secrets_.name_in_records ? secrets_.name_in_records(caller) : caller.user;
  const bool own = actor && says(**actor, key::actor::kTenant, caller.tenant) &&
                   says(**actor, key::actor::kName, name);
  if (!own && caller.role == Role::kUser) return unknown();
  if (!own) {
    codec::Map access;
    access.set(key::kActor, codec::Value::map(records::actor(caller)))
        .set(key::kRefIndex, codec::Value::uint(receipt.end.index))
        .set(key::access::kWhat, codec::Value::text("receipt"));
    const auto recorded = ledger_.append_and_wait(ledger::RecordType::kAccess, std::move(access));
    if (!recorded) return recorded.error();
    return ledger::write_receipt(receipt);
  }
  if (secrets_.salt && receipt.request) {
    const auto salt = [&](const std::string& field) {
      return secrets_.salt(caller, request_id, field);
    };
    ledger::Salts salts{salt("prompt"), std::nullopt, {}};
    if (body.find(key::infer_request::kStopCommitment)) salts.stop = salt("stop");
    for (std::size_t i = 0; i < choices_of(receipt); ++i) {
      const auto output = salt("output/" + std::to_string(i));
      if (output) salts.outputs.push_back(*output);
    }
    if (salts.prompt) receipt.salts = std::move(salts);
  }
  return ledger::write_receipt(receipt);
}

}  // namespace aioss::runtime
