// One run: a scenario played to its end, and what came of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace aioss::sim {

struct Outcome {
  std::optional<std::string> violation;  // the first invariant that was broken
  std::uint64_t steps = 0;
  std::uint64_t digest = 0;  // of the trace
  std::string ledger_root;   // its records say on which machine they were made
  std::uint32_t requests = 0, done = 0, failed = 0;
  std::int64_t virtual_ns = 0;
};

Outcome simulate(std::uint64_t seed, bool print_trace);

}  // namespace aioss::sim
