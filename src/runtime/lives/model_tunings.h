// When models are measured, and what comes of it (docs/tuning.md). In the profile fast: once a
// model has served and nobody wants anything, in the background; a request interrupts it, a few
// times at most. In the others, where a choice holds for good: before its first request, in the
// room that was leased for its worker, and that of another session beside it. What is chosen
// becomes a setting of the model, which Replacement puts into force; if that fails, or the worker
// crashes twice, it is taken back.
//
// Of each model and conditions at most one measuring is begun in the life of a gateway, but for
// those that were interrupted. Runtime thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "base/clock.h"
#include "memory/pool.h"
#include "os/cpu.h"
#include "runtime/calls/post.h"
#include "runtime/models/model_table.h"
#include "runtime/records/tally.h"
#include "runtime/settings/gateway_options.h"
#include "runtime/tuning/tuner.h"

namespace aioss::runtime {

class ModelTunings final {
 public:
  struct Parts {  // all outlive it
    const GatewayOptions& options;
    const Clock& clock;
    Tally& tally;
    ModelTable& models;
    memory::Pool& pool;
    Tuner* tuner = nullptr;  // null: nothing is measured
    Post post;
    std::function<bool()> is_quiet;           // no request runs or waits
    std::function<void(Model&)> has_changed;  // what it is computed with: its lives are judged anew
    std::function<void(Life&)> goes_on;       // the load that waited for it
  };
  ModelTunings(Parts parts, const TuningStore* store, const os::CpuBudget& cpu);

  // Every second.
  void look(std::int64_t now_ns);
  // Whether this load is to wait until the model was measured. True: goes_on() follows.
  bool comes_first(Life& life, const std::shared_ptr<const OpenModel>& files);
  // So as it was chosen in an earlier life, perhaps: then that is recorded, once.
  void loaded(const Life& life);
  // Before EngineSwitches is told, whose way back would change what the choice was measured for.
  void died(const Life& life, bool from_inside);
  bool is_measuring() const { return running_.has_value(); }

 private:
  struct Running {
    std::string model;
    TuningKey key;
    std::optional<std::uint64_t> life;  // whose load waits
    bool may_be_interrupted = false, was_interrupted = false;
    memory::Lease lease;
  };
  struct Crashes {
    int count = 0;
    std::int64_t first_ns = 0;
  };
  std::optional<TuningJob> job_of(const Model& model, std::shared_ptr<const OpenModel> files) const;
  bool is_due(const Model& model, std::int64_t now_ns) const;
  bool is_in_vain() const;
  Result<memory::Lease> lease_for(const Model& model, std::uint64_t bytes);
  void has_no_room(const Model& model, std::uint64_t bytes, std::int64_t now_ns);
  bool begin_in_background(Model& model, std::int64_t now_ns);
  void begin(TuningJob job, Running running);
  void ended(const Result<TuningResult>& result);
  void take(Model& model, const TuningResult& result);
  void take_back_if_failed(Model& model, std::int64_t now_ns);
  void take_back(Model& model, std::string_view why);

  const Parts parts_;
  const TuningStore* const store_;
  const os::CpuBudget cpu_;
  std::optional<Running> running_;
  std::set<TuningKey> tried_;  // in this life
  std::map<TuningKey, int> interruptions_;
  std::set<std::pair<std::string, std::string>> recorded_;  // models, and what was chosen for them
  std::map<std::string, Crashes> crashes_;                  // of what was chosen, by model
  std::map<std::string, std::int64_t> no_room_until_ns_;
};

}  // namespace aioss::runtime
