// Custody::open_request: from a request's id to its text, with an ACCESS record before the text is
// given out.
#include <limits>

#include "base/strings.h"
#include "ledger/custody/custody.h"
#include "ledger/reading/history.h"
#include "ledger/reading/payloads.h"

namespace aioss::ledger {
namespace {

constexpr std::size_t kRequestIdBytesMax = 128;

codec::Map access_body(const codec::Map& actor, std::uint64_t request) {
  codec::Map body;
  body.set(key::kActor, codec::Value::map(actor))
      .set(key::kRefIndex, codec::Value::uint(request))
      .set(key::access::kWhat, codec::Value::text("open"));
  return body;
}

}  // namespace

// By the number of its INFER_REQUEST, or by its id.
Result<RequestRecords> Custody::find_request(std::string_view request) const {
  if (request.empty() || request.size() > kRequestIdBytesMax) {
    return Error{Code::kInvalidArgument, "name a request by its id (req_…) or its record's number"};
  }
  const Error none{Code::kNotFound, "the ledger has no request '" + one_line(request) +
                                        "': it was never recorded, or dropped at the end of its "
                                        "retention"};
  const History& history = ledger_.history();
  std::string id(request);
  if (const auto index = parse_u64(request)) {
    const auto record = history.record(*index);
    if (!record && record.error().code != Code::kNotFound) return record.error();
    if (!record || record->record.type != RecordType::kInferRequest) return none;
    AIOSS_TRY(id, record->record.body.get_text(key::kRequestId, "request id"));
  }
  auto found = history.find_request(id, std::numeric_limits<std::uint64_t>::max());
  if (!found && found.error().code != Code::kNotFound) return found;
  if (!found || !found->request) return none;
  return found;
}

Result<SubjectPtr> Custody::subject_of_request(const Record& request) const {
  const auto id = ledger::subject_of(request.body);
  if (id) {
    if (SubjectPtr subject = vault_->find_id(*id)) return subject;
    std::lock_guard lock(mutex_);
    if (const auto record = standing_.redacted(*id)) {
      return Error{Code::kNotFound, "the text is gone: its subject was erased (record " +
                                        std::to_string(*record) + ")"};
    }
  }
  return Error{Code::kNotFound, "the vault does not know whose request this was"};
}

Result<std::string> Custody::open_text(const Subject& subject, const OpenedRequest& opened,
                                       const std::string& field, const BlobName& blob) const {
  AIOSS_TRY(const Bytes text, blobs_.open(subject, opened.request_id, field, blob));
  return std::string(as_text(text));
}

Result<OpenedRequest> Custody::open_request(std::string_view request, const codec::Map& actor) {
  std::lock_guard ordering(orders_mutex_);
  AIOSS_TRY(const RequestRecords found, find_request(request));
  const Record& asked = found.request->record;
  const std::vector<BlobName> prompt = blobs_of(asked);
  if (prompt.empty()) {
    return Error{Code::kNotFound,
                 "the text of this request was never kept: it was recorded with "
                 "privacy = commit"};
  }
  AIOSS_TRY(const SubjectPtr subject, subject_of_request(asked));
  OpenedRequest opened;
  opened.request_record = asked.index;
  AIOSS_TRY(opened.request_id, asked.body.get_text(key::kRequestId, "request id"));
  AIOSS_TRY(const std::string text, open_text(*subject, opened, "prompt", prompt.front()));
  opened.prompt.assign(text.begin(), text.end());
  if (found.end && found.end->record.type == RecordType::kInferResult) {
    opened.result_record = found.end->record.index;
    const std::vector<BlobName> outputs = blobs_of(found.end->record);
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      if (outputs[i].subject != subject->id()) {
        return Error{Code::kCorrupt, "an output of this request is said to be another subject's"};
      }
      AIOSS_TRY(std::string output,
                open_text(*subject, opened, "output/" + std::to_string(i), outputs[i]));
      opened.outputs.push_back(std::move(output));
    }
  }
  AIOSS_TRY(opened.access_record,
            append(RecordType::kAccess, access_body(actor, opened.request_record)));
  return opened;
}

}  // namespace aioss::ledger
