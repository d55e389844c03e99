// What one life of a model has of the books, and what is known of its room. Owned by the life;
// runtime thread only. If answers that have begun wait for the next life, that one gets it whole.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "memory/pool.h"
#include "runtime/dry_runs/device_table.h"
#include "runtime/dry_runs/places.h"
#include "runtime/dry_runs/planner.h"

namespace aioss::runtime {

struct LifeRoom {
  std::optional<ModelPlan> plan;
  PlanWanted wanted;  // what was planned, and of which files: nothing else is started
  std::vector<os::FileInfo> parts;
  Places places;  // where it is planned, and is still to be tried if it does not fit there
  // Devices that it could not be planned on: at fault if it can be elsewhere.
  struct FailedPlan {
    std::string device, why;
  };
  std::vector<FailedPlan> failed_plans;
  bool device_lost = false;         // where its layers were: it goes on elsewhere
  DeviceTable::Loss loss;           // by its end; without names: of nothing that was not lost
  bool planning = false;            // the plan is on its way
  std::uint64_t turn = 0;           // among those that wait for room: lower comes first
  std::int64_t busy_since_ns = 0;   // when it found that all who could go are busy; 0: it does not
  std::int64_t waits_since_ns = 0;  // for room; 0: it does not yet
  bool hopes = false;               // what it waits for is not on its way: others may overtake it
  // Of what a load needs: from its start until the process has ended.
  std::vector<memory::Lease> committed;
  memory::Lease spilled;                                    // what comes by and by
  std::uint64_t prefix_bytes_max = 0, spill_bytes_max = 0;  // that this worker may take
  std::int64_t began_ns = 0;                                // when its worker was started
  std::int64_t ready_ns = 0;                                // when it became ready
  bool was_used = false;                                    // since it became ready
};

}  // namespace aioss::runtime
