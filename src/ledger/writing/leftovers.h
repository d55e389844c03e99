// What a ledger's records leave open, gathered on recovery's walk: models and engines that a killed
// gateway did not end, and the program that ran last. Reads records of any content; its memory is
// bounded. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "ledger/format/record.h"
#include "ledger/writing/ledger.h"

namespace aioss::ledger {

// A gateway has a handful of models loaded; only a forged ledger leaves more than this open.
inline constexpr std::size_t kOpenLoadsMax = 1'024;

class Leftovers final {
 public:
  static bool wants(RecordType type);  // the others need not be shown
  void see(const Record& record);      // each one, in order

  // MODEL_UNLOAD and ENGINE_STOP for what no record ended, models first.
  std::vector<std::pair<RecordType, codec::Map>> endings() const;
  // As the last ENGINE_START or UPDATE names it.
  const std::optional<Program>& program() const { return program_; }

 private:
  std::set<std::uint64_t> loads_, engines_;  // indices of MODEL_LOAD, ENGINE_START
  std::optional<Program> program_;
};

}  // namespace aioss::ledger
