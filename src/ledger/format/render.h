// Records as text: numbers become names. One rendering for `ledger show --json`, for the tables of
// export bundles and for whoever verifies those. Unknown keys and types are shown by their numbers,
// so that a newer ledger is still readable. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "codec/json.h"
#include "ledger/format/record.h"

namespace aioss::ledger {

// Raised whenever any record's line below changes: bundles say with which version they were made.
inline constexpr std::uint64_t kRenderingVersion = 1;

struct RecordField {
  std::uint64_t key = 0;
  std::string label;
  codec::OrderedJson value;
  bool in_line = false;  // one of the few that tell records apart
};
std::vector<RecordField> record_fields(const Record& record);

std::string count_of_records(std::uint64_t count);  // "1 record", "7 records"
std::string record_type_name(RecordType type);      // "INFER_REQUEST", "type 40000"
codec::OrderedJson record_json(const Record& record);
std::string record_json_line(const Record& record);  // with its line feed

// CSV as of RFC 4180: the columns, and a record. A text that a spreadsheet would take for a formula
// gets a ' in front.
std::string csv_head();
std::string record_csv_line(const Record& record);

}  // namespace aioss::ledger
