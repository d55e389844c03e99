// What a ledger says of its people: which of them are under legal hold, which were erased, what was
// dropped at the end of its retention. Fed with every record in order; the records that matter here
// survive a retention drop. Untrusted bodies: what is malformed says nothing. A value.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/format/record.h"

namespace aioss::ledger {

struct LegalHold {
  std::string subject;    // its id, or kEverySubject
  std::string case_name;  // two cases may hold one subject: each is lifted by itself
  std::uint64_t record = 0;
};
inline constexpr std::string_view kEverySubject = "*";

// The records that a RETENTION_DROP says were dropped; nothing if it is malformed, or speaks of
// records that came after it.
struct DroppedRange {
  std::uint64_t first = 0, after = 0;
};
std::optional<DroppedRange> dropped_range(std::uint64_t index, const codec::Map& body);

class Standing final {
 public:
  // Whether there is anything to learn from a record of this type, so that a walk need not decode
  // the others.
  bool wants(RecordType type) const;
  void note(RecordType type, std::uint64_t index, const codec::Map& body);
  void note(const Record& record) { note(record.type, record.index, record.body); }

  const std::vector<LegalHold>& holds() const { return holds_; }  // in force
  // One that holds this subject, be it by holding all; null: none.
  const LegalHold* hold_on(std::string_view subject_id) const;
  // The REDACT record of a subject.
  std::optional<std::uint64_t> redacted(std::string_view subject_id) const;
  // Whether one RETENTION_DROP covers the records from `first` up to, not with, `after`.
  bool is_dropped(std::uint64_t first, std::uint64_t after) const;
  // Whether any record so far is a subject's: then there must be a vault.
  bool names_subjects() const { return names_subjects_; }

 private:
  void note_hold(std::uint64_t index, const codec::Map& body);

  std::vector<LegalHold> holds_;
  std::map<std::string, std::uint64_t, std::less<>> redacted_;
  std::vector<DroppedRange> dropped_;
  bool names_subjects_ = false;
};

}  // namespace aioss::ledger
