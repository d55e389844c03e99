#include "engine/sequence_lengths.h"

#include <string>

#include "engine/abi.h"

namespace aioss::engine {

aioss_status SequenceLengths::check(std::int32_t sequence, aioss_error* error) const {
  if (sequence >= 0 && static_cast<std::size_t>(sequence) < lengths_.size()) return AIOSS_OK;
  return fail(error, AIOSS_E_INVALID,
              "there is no sequence " + std::to_string(sequence) + "; there are " +
                  std::to_string(lengths_.size()));
}

aioss_status SequenceLengths::check_cut(std::int32_t sequence, std::int32_t from, std::int32_t to,
                                        bool& is_empty, aioss_error* error) const {
  if (const auto s = check(sequence, error); s != AIOSS_OK) return s;
  if (from < 0 || (to >= 0 && to < from)) {
    return fail(error, AIOSS_E_INVALID, "the range to remove is not a range");
  }
  const std::int32_t length = (*this)[sequence];
  is_empty = from >= length || from == to;
  if (!is_empty && to >= 0 && to < length) {
    return fail(error, AIOSS_E_UNSUPPORTED, "only the end of a sequence can be cut off");
  }
  return AIOSS_OK;
}

aioss_status SequenceLengths::check_copy(std::int32_t source, std::int32_t target,
                                         aioss_error* error) const {
  if (const auto s = check(source, error); s != AIOSS_OK) return s;
  if (const auto s = check(target, error); s != AIOSS_OK) return s;
  if (source == target || (*this)[target] != 0) {
    return fail(error, AIOSS_E_INVALID, "the target of a copy must be empty");
  }
  return AIOSS_OK;
}

}  // namespace aioss::engine
