// Sealed texts from the verifier's side: which blobs the records name, and whether each is there or
// gone by right: its subject erased (REDACT), or its record dropped (RETENTION_DROP). Needs no key.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "ledger/format/record.h"
#include "ledger/reading/blob.h"
#include "ledger/reading/standing.h"

namespace aioss::ledger {

// The blobs that a record names; none of those that are named in a way that nobody could follow.
std::vector<BlobName> blobs_of(const Record& record);

struct PayloadReport {
  std::uint64_t named = 0;
  std::uint64_t present = 0;                   // with their hashes
  std::uint64_t redacted = 0;                  // gone: their subjects were erased
  std::uint64_t dropped = 0;                   // gone: their records' retention ended
  std::uint64_t missing = 0;                   // gone or changed, and no record says why
  std::uint64_t excused_late = 0;              // of these: a record behind the checkpoint does
  std::optional<std::uint64_t> first_missing;  // index of its record
};
// Over the first `records` records. `standing` knows of those that the checkpoint covers, `later`
// of those behind it, which account for nothing. Reads every blob whole.
Result<PayloadReport> check_payloads(os::FileSystem& fs, const std::string& directory,
                                     std::uint64_t records, const Standing& standing,
                                     const Standing& later);

}  // namespace aioss::ledger
