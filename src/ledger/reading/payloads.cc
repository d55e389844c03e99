#include "ledger/reading/payloads.h"

#include <algorithm>

#include "ledger/format/subject.h"
#include "ledger/reading/verify.h"

namespace aioss::ledger {
namespace {

void add(const codec::Map& map, std::uint64_t hash_key, std::uint64_t bytes_key,
         const std::string& subject, std::vector<BlobName>& out) {
  const auto hash = map.get_digest(hash_key, "blob");
  const auto bytes = map.get_uint(bytes_key, "blob's size");
  if (hash && bytes) out.push_back({subject, *hash, *bytes});
}

Status check(os::FileSystem& fs, const std::string& directory, const Record& record,
             const Standing& standing, const Standing& later, PayloadReport& report) {
  for (const BlobName& blob : blobs_of(record)) {
    ++report.named;
    AIOSS_TRY(const bool whole, blob_is_whole(fs, directory, blob));
    if (whole) {
      ++report.present;
    } else if (standing.redacted(blob.subject)) {
      ++report.redacted;
    } else if (standing.is_dropped(record.index, record.index + 1)) {
      ++report.dropped;
    } else {
      ++report.missing;
      if (later.redacted(blob.subject)) ++report.excused_late;
      if (!report.first_missing) report.first_missing = record.index;
    }
  }
  return ok();
}

}  // namespace

std::vector<BlobName> blobs_of(const Record& record) {
  std::vector<BlobName> out;
  const bool request = record.type == RecordType::kInferRequest;
  if (!request && record.type != RecordType::kInferResult) return out;
  const auto subject = subject_of(record.body);
  if (!subject) return out;
  if (request) {
    namespace own = key::infer_request;
    add(record.body, own::kPromptBlob, own::kPromptBlobBytes, *subject, out);
    return out;
  }
  const auto choices = record.body.get_array(key::infer_result::kChoices, "choices");
  if (!choices) return out;
  for (const codec::Value& choice : **choices) {
    const codec::Map* const map = choice.if_map();
    if (map == nullptr) continue;
    add(*map, key::choice::kOutputBlob, key::choice::kOutputBlobBytes, *subject, out);
  }
  return out;
}

Result<PayloadReport> check_payloads(os::FileSystem& fs, const std::string& directory,
                                     std::uint64_t records, const Standing& standing,
                                     const Standing& later) {
  PayloadReport report;
  Status checked = ok();
  const Status read = read_records(fs, directory, 0, [&](const Record& record) {
    if (record.index >= records) return false;
    checked = check(fs, directory, record, standing, later, report);
    return checked.has_value();
  });
  AIOSS_CHECK(checked);
  // Where the records end is the verifier's to say, which has read them before.
  if (!read && read.error().code != Code::kCorrupt) return read.error();
  return report;
}

}  // namespace aioss::ledger
