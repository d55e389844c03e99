// What one model has of the books, and what is known for its eviction. Owned by its slot; runtime
// thread only.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "memory/pool.h"
#include "runtime/planner.h"

namespace aioss::runtime {

struct ModelRoom {
  std::optional<ModelPlan> plan;  // of its current load, or the last one
  PlanWanted wanted;              // what was planned, and of which files: nothing else is started
  std::vector<os::FileInfo> parts;
  std::uint64_t planning = 0;       // number of the plan that is on its way; 0: none
  std::uint64_t turn = 0;           // among those that wait for room: lower comes first
  std::int64_t waits_since_ns = 0;  // for room; 0: it does not yet
  bool hopes = false;               // what it waits for is not on its way: others may overtake it
  // Of what a load needs: from its start until the process has ended.
  std::vector<memory::Lease> committed;
  // What comes by and by. States of prompts outlive the worker.
  memory::Lease prefixes, spilled;
  std::uint64_t prefix_bytes_max = 0, spill_bytes_max = 0;  // that this worker may take
  std::int64_t began_ns = 0;                                // when its worker was started
  std::int64_t ready_ns = 0;                                // when it became ready
  std::int64_t restore_ns = 0;  // that its last load took, without waiting for room
  bool was_used = false;        // since it became ready
};

}  // namespace aioss::runtime
