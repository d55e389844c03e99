#include "ledger/reading/standing.h"

#include <algorithm>

#include "ledger/format/subject.h"

namespace aioss::ledger {

std::optional<DroppedRange> dropped_range(std::uint64_t index, const codec::Map& body) {
  const auto first = body.get_uint(key::retention_drop::kFirstIndex, "first");
  const auto after = body.get_uint(key::retention_drop::kAfterIndex, "after");
  if (!first || !after || *first >= *after || *after > index) return std::nullopt;
  return DroppedRange{*first, *after};
}

bool Standing::wants(RecordType type) const {
  switch (type) {
    case RecordType::kLegalHold:
    case RecordType::kRedact:
    case RecordType::kRetentionDrop:
      return true;
    case RecordType::kInferRequest:
    case RecordType::kInferAbort:
    case RecordType::kAccess:
    case RecordType::kAdminAction:
      return !names_subjects_;
    default:
      return false;
  }
}

void Standing::note(RecordType type, std::uint64_t index, const codec::Map& body) {
  if (!names_subjects_ && subject_of(body)) names_subjects_ = true;
  if (type == RecordType::kLegalHold) note_hold(index, body);
  if (type == RecordType::kRedact) {
    const auto subject = body.get_text(key::redact::kSubject, "subject");
    if (subject && is_subject_id(*subject)) redacted_.emplace(*subject, index);
  }
  if (type == RecordType::kRetentionDrop) {
    if (const auto range = dropped_range(index, body)) dropped_.push_back(*range);
  }
}

void Standing::note_hold(std::uint64_t index, const codec::Map& body) {
  namespace own = key::legal_hold;
  const auto subject = body.get_text(own::kSubject, "subject");
  const auto on = body.get_bool(own::kOn, "on");
  const auto case_name = body.get_text(own::kCase, "case");
  if (!subject || !on || !case_name) return;
  std::erase_if(holds_, [&](const LegalHold& hold) {
    return hold.subject == *subject && hold.case_name == *case_name;
  });
  if (*on) holds_.push_back({*subject, *case_name, index});
}

const LegalHold* Standing::hold_on(std::string_view subject_id) const {
  const auto found = std::find_if(holds_.begin(), holds_.end(), [&](const LegalHold& hold) {
    return hold.subject == subject_id || hold.subject == kEverySubject;
  });
  return found == holds_.end() ? nullptr : &*found;
}

std::optional<std::uint64_t> Standing::redacted(std::string_view subject_id) const {
  const auto found = redacted_.find(subject_id);
  if (found == redacted_.end()) return std::nullopt;
  return found->second;
}

bool Standing::is_dropped(std::uint64_t first, std::uint64_t after) const {
  return std::any_of(dropped_.begin(), dropped_.end(), [&](const DroppedRange& range) {
    return range.first <= first && after <= range.after;
  });
}

}  // namespace aioss::ledger
