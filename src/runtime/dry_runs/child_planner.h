// The Planner of gateways and of `aioss plan`: some threads, `plan`, that run a child each
// (plan_child.h), one at a time for each engine: a plugin that hangs holds up models of its own
// only. Results are kept by the files' identity and what was wanted; failures are not.
// With a store they outlive the process (plan_store.h): these threads read and write it, beside
// whoever waits. What comes from there says nothing of devices, so a survey does not take it.
// Thread-safe; callbacks run on these threads, or at once on the caller's if the answer is known or
// there is no place for the question.
#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/lane_queue.h"
#include "runtime/dry_runs/plan_child.h"
#include "runtime/dry_runs/plan_store.h"
#include "runtime/dry_runs/planner.h"

namespace aioss::runtime {

// Of one engine as many as may wait for the hash of their files: each may be a load.
inline constexpr std::size_t kPlansWaitingOfEngineMax = 64;
inline constexpr std::size_t kPlansWaitingMax = 2 * kPlansWaitingOfEngineMax;
// So many plugins may hang at once before a model of another engine waits for them.
inline constexpr std::size_t kPlansAtOnceMax = 4;
// Of so many models and options the answers are kept: a few KiB each.
inline constexpr std::size_t kPlansKeptMax = 256;

struct PlanOption {   // a way that fits
  std::string model;  // "": the one that was asked for
  std::uint32_t streams = 0, cells_per_stream = 0;
  std::string kv_type;
  memory::Needs needs;
};

struct PlanSurvey {
  ModelPlan plan;
  std::uint32_t context_tokens_train = 0;
  std::vector<PlanOption> options;
  std::vector<ipc::PlanDevice> devices;
};

struct ChildPlannerOptions {
  PlanChildOptions child;
  bool speculation = true;
  std::uint32_t prefill_chunk_tokens_max = 0;
  std::shared_ptr<plugins::EngineTable> engines = {};  // as in GatewayOptions
};

struct GatewayOptions;
ChildPlannerOptions planner_options(const GatewayOptions& options);

class ChildPlanner final : public Planner {
 public:
  // `clock` and `store` outlive the planner; a null one: nothing outlives it.
  ChildPlanner(ChildPlannerOptions options, const Clock& clock, PlanStore* store = nullptr);
  // Kills the children that run; what waits is told kShuttingDown.
  ~ChildPlanner() override;
  // What waits or comes is told kShuttingDown. Any thread.
  void stop();
  ChildPlanner(const ChildPlanner&) = delete;
  ChildPlanner& operator=(const ChildPlanner&) = delete;

  void plan(std::shared_ptr<const OpenModel> files, PlanWanted wanted, Done done) override;
  // The same and more of it. If the model does not fit into `room_bytes`, options that do are
  // looked for, in the same child; 0: none are.
  using SurveyDone = std::function<void(Result<PlanSurvey>)>;
  void survey(std::shared_ptr<const OpenModel> files, PlanWanted wanted, std::uint64_t room_bytes,
              SurveyDone done);
  Result<PlanSurvey> survey_and_wait(std::shared_ptr<const OpenModel> files, PlanWanted wanted,
                                     std::uint64_t room_bytes);
  std::uint64_t children_started() const { return children_.load(); }

 private:
  using Key = std::pair<FilesIdentity, PlanWanted>;
  using EngineFile = std::pair<std::string, Digest>;  // zeros: it is linked
  struct Job {
    std::shared_ptr<const OpenModel> files;
    PlanWanted wanted;
    std::uint64_t room_bytes = 0;
    SurveyDone done;
  };

  static Key key_of(const Job& job);
  void run();
  void answer(const Job& job);
  ipc::PlanAsk ask_of(const Job& job) const;
  Result<ipc::PlanReport> carry_out(const Job& job);
  std::optional<PlanSurvey> find(const Job& job);
  void keep(const Key& key, const PlanSurvey& survey);

  const ChildPlannerOptions options_;
  const Clock& clock_;
  PlanStore* const store_;
  std::atomic<bool> stopping_{false};
  std::atomic<std::uint64_t> children_{0};
  std::mutex mutex_;
  std::map<Key, PlanSurvey> kept_;  // guarded by mutex_
  std::deque<Key> order_;           // guarded by mutex_; oldest first
  using Jobs = LaneQueue<EngineFile, Job>;
  Jobs jobs_{kPlansWaitingMax, kPlansWaitingOfEngineMax};
  std::once_flag read_;               // the store
  std::vector<std::thread> threads_;  // last: they use all of the above
};

}  // namespace aioss::runtime
