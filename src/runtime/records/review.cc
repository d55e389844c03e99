#include "runtime/records/review.h"

#include <algorithm>
#include <array>
#include <utility>

#include "ledger/format/commitment.h"
#include "ledger/reading/history.h"
#include "runtime/records/records.h"

namespace aioss::runtime {
namespace {

namespace verdict = ledger::review_verdict;
constexpr std::array kVerdicts{verdict::kApproved, verdict::kRejected, verdict::kOverridden,
                               verdict::kEscalated};

Error no_such_request(const ReviewCall& call) {
  if (call.record) {
    return {Code::kNotFound,
            "record " + std::to_string(*call.record) +
                " is not in the ledger, or is not of a request; give 'request_record' or "
                "'result_record' of its answer",
            "record"};
  }
  return {Code::kNotFound,
          "the ledger has no request of that id; give 'request_id' of its answer, as it is",
          "request_id"};
}

// The record that is named, or the last one of the request: its end, if it has one.
Result<ledger::Record> named_record(const ledger::History& history, const ReviewCall& call) {
  if (call.record) {
    AIOSS_TRY(ledger::StoredRecord stored, history.record(*call.record));
    return std::move(stored.record);
  }
  AIOSS_TRY(ledger::RequestRecords found, history.find_request(call.request_id));
  return std::move((found.end ? found.end : found.request)->record);
}

bool is_of_inference(const ledger::Record& record) {
  return record.type == ledger::RecordType::kInferRequest ||
         record.type == ledger::RecordType::kInferResult ||
         record.type == ledger::RecordType::kInferAbort;
}

struct Reviewable {
  std::uint64_t record = 0;
  std::string request_id;  // "" in an INFER_ABORT that recovery wrote
};

Result<Reviewable> find(const ledger::History& history, const ReviewCall& call) {
  const auto found = named_record(history, call);
  if (!found && found.error().code == Code::kNotFound) return no_such_request(call);
  if (!found) return Error(found.error()).with_context("the ledger cannot be searched");
  if (!is_of_inference(*found)) return no_such_request(call);
  auto id = found->body.get_text(ledger::key::kRequestId, "request id");
  Reviewable out{found->index, id ? std::move(*id) : std::string()};
  if (!call.request_id.empty() && out.request_id != call.request_id) {
    return Error{Code::kInvalidArgument, "the record is of another request than the id",
                 "request_id"};
  }
  return out;
}

}  // namespace

Status check_review(const ReviewCall& call) {
  if (call.request_id.empty() && !call.record) {
    return Error{Code::kInvalidArgument, "say which request: its request_id, or one of its records",
                 "request_id"};
  }
  if (std::find(kVerdicts.begin(), kVerdicts.end(), call.verdict) == kVerdicts.end()) {
    return Error{Code::kInvalidArgument,
                 "the verdict must be approved, rejected, overridden or escalated", "verdict"};
  }
  if (call.comment.size() > kReviewCommentBytesMax) {
    return Error{Code::kTooLarge, "the comment is longer than 64 KiB", "comment"};
  }
  return ok();
}

Result<Reviewed> review(crypto::Random& random, ledger::Ledger& ledger, const ReviewCall& call) {
  AIOSS_CHECK(check_review(call));
  AIOSS_TRY(Reviewable found, find(ledger.history(), call));
  records::Review body{call.by, found.request_id, found.record, call.verdict, std::nullopt, 0};
  Reviewed out{0, found.record, std::move(found.request_id), std::nullopt};
  if (!call.comment.empty()) {
    const ledger::Commitment commitment = ledger::commit(random, call.comment);
    body.comment_commitment = commitment.value;
    body.comment_bytes = call.comment.size();
    out.comment_salt = commitment.salt;
  }
  AIOSS_TRY(const ledger::Committed committed,
            ledger.append_and_wait(ledger::RecordType::kHumanReview, records::human_review(body)));
  out.record = committed.index;
  return out;
}

}  // namespace aioss::runtime
