// Custody::open_request: from a request's id to its text, with an ACCESS record before the text is
// given out.
#include "base/strings.h"
#include "ledger/custody.h"
#include "ledger/payloads.h"
#include "ledger/verify.h"

namespace aioss::ledger {
namespace {

constexpr std::size_t kRequestIdBytesMax = 128;

bool has_id(const Record& record, std::string_view id) {
  const codec::Value* const value = record.body.find(key::kRequestId);
  const std::string* const text = value == nullptr ? nullptr : value->if_text();
  return text != nullptr && *text == id;
}

codec::Map access_body(const codec::Map& actor, std::uint64_t request) {
  codec::Map body;
  body.set(key::kActor, codec::Value::map(actor))
      .set(key::kRefIndex, codec::Value::uint(request))
      .set(key::access::kWhat, codec::Value::text("open"));
  return body;
}

}  // namespace

Result<Custody::FoundRequest> Custody::find_request(std::string_view request) const {
  const auto index = parse_u64(request);
  FoundRequest found;
  bool there = false;
  const auto visit = [&](const Record& record) {
    if (!there && record.type == RecordType::kInferRequest) {
      there = index ? record.index == *index : has_id(record, request);
      if (there) found.request = record;
    } else if (there && record.type == RecordType::kInferResult) {
      const auto ref = record.body.get_uint(key::kRefIndex, "request");
      if (ref && *ref == found.request.index) found.result = record;
    }
    return !found.result;
  };
  if (request.empty() || request.size() > kRequestIdBytesMax) {
    return Error{Code::kInvalidArgument, "name a request by its id (req_…) or its record's number"};
  }
  const Status read = read_records(fs_, options_.directory, 0, visit);
  if (there) return found;  // the end of a running ledger may be a record that is being written
  AIOSS_CHECK(read);
  return Error{Code::kNotFound, "the ledger has no request '" + one_line(request) +
                                    "': it was never recorded, or dropped at the end of its "
                                    "retention"};
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
  AIOSS_TRY(const FoundRequest found, find_request(request));
  const std::vector<BlobName> prompt = blobs_of(found.request);
  if (prompt.empty()) {
    return Error{Code::kNotFound,
                 "the text of this request was never kept: it was recorded with "
                 "privacy = commit"};
  }
  AIOSS_TRY(const SubjectPtr subject, subject_of_request(found.request));
  OpenedRequest opened;
  opened.request_record = found.request.index;
  AIOSS_TRY(opened.request_id, found.request.body.get_text(key::kRequestId, "request id"));
  AIOSS_TRY(const std::string text, open_text(*subject, opened, "prompt", prompt.front()));
  opened.prompt.assign(text.begin(), text.end());
  if (found.result) {
    opened.result_record = found.result->index;
    const std::vector<BlobName> outputs = blobs_of(*found.result);
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
