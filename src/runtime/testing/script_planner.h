// A planner that believes what a model's script says of itself: `weight_bytes N`; one that says
// nothing takes what its file has. A comment line "# plan kv N" adds what its session takes,
// "# plan of ENGINE N" is what it takes with that one instead, and "# plan fails" makes the dry run
// fail. Its layers are all where they are wanted. While held, it answers nobody. Thread-safe.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "runtime/dry_runs/planner.h"

namespace aioss::runtime::testing {

class ScriptPlanner final : public Planner {
 public:
  void plan(std::shared_ptr<const OpenModel> files, PlanWanted wanted, Done done) override;
  void hold();
  void release();
  unsigned plans() const;  // that were asked for

 private:
  struct Asked {
    Result<ModelPlan> plan;
    Done done;
  };
  mutable std::mutex mutex_;
  bool held_ = false;         // guarded by mutex_
  unsigned plans_ = 0;        // guarded by mutex_
  std::vector<Asked> asked_;  // guarded by mutex_
};

}  // namespace aioss::runtime::testing
