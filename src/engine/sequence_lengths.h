// How many tokens each sequence of a session holds, for engines whose library does not say so, and
// what may be asked of them: so that all refuse the same with the same words. Used by one thread at
// a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "aioss/engine.h"

namespace aioss::engine {

class SequenceLengths final {
 public:
  explicit SequenceLengths(std::uint32_t sequences) : lengths_(sequences, 0) {}

  // In tokens. `sequence` has passed a check.
  std::int32_t& operator[](std::int32_t sequence) {
    return lengths_[static_cast<std::size_t>(sequence)];
  }
  std::int32_t operator[](std::int32_t sequence) const {
    return lengths_[static_cast<std::size_t>(sequence)];
  }
  std::span<const std::int32_t> all() const { return lengths_; }

  // AIOSS_E_INVALID, with the reason, if there is no such sequence.
  aioss_status check(std::int32_t sequence, aioss_error* error) const;

  // Whether tokens [from, to) may be cut off, where a `to` below zero is the end: AIOSS_E_INVALID
  // for what is no range of a sequence, AIOSS_E_UNSUPPORTED for one that leaves something behind
  // it. `is_empty` says that there is nothing to do.
  aioss_status check_cut(std::int32_t sequence, std::int32_t from, std::int32_t to, bool& is_empty,
                         aioss_error* error) const;

  // AIOSS_E_INVALID unless both exist, differ, and the target is empty.
  aioss_status check_copy(std::int32_t source, std::int32_t target, aioss_error* error) const;

 private:
  std::vector<std::int32_t> lengths_;
};

}  // namespace aioss::engine
