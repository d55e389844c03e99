// The thread that measures, `tune`: one model at a time, in processes of its own (tune_runs.h). It
// reads and writes the store of what was found. Thread-safe; callbacks run on that thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "base/bounded_queue.h"
#include "base/clock.h"
#include "base/result.h"
#include "plugins/engine_table.h"
#include "runtime/catalogue/catalogue.h"
#include "runtime/tuning/tuning_search.h"
#include "runtime/tuning/tuning_store.h"

namespace aioss::runtime {

// Who measures takes no more on while so many wait.
inline constexpr std::size_t kTuningsWaitingMax = 16;
inline constexpr std::int64_t kTuningBudgetNs = 10'000'000'000;

struct TuningJob {
  std::shared_ptr<const OpenModel> files;
  std::string model;  // for people
  TuningSpace space;
  ipc::TuneOpen open;
  TuningKey key;
  std::int64_t budget_ns = kTuningBudgetNs;
};

struct TunerOptions {
  std::string executable = "/proc/self/exe";
  std::shared_ptr<plugins::EngineTable> engines;  // as in GatewayOptions
};

// On the caller's thread. kShuttingDown soon after `stop` is set; kModelCorrupt: the file was
// written to meanwhile. Otherwise as search().
Result<TuningResult> measure(const TuningJob& job, const TunerOptions& options, const Clock& clock,
                             const std::atomic<bool>& stop, const TuningProgress& progress = {});

class Tuner final {
 public:
  // `clock` and `store` outlive it.
  Tuner(TunerOptions options, const Clock& clock, TuningStore& store);
  // Ends what runs; what waits is told kShuttingDown.
  ~Tuner();
  void stop();  // likewise, from any thread
  Tuner(const Tuner&) = delete;
  Tuner& operator=(const Tuner&) = delete;

  using Done = std::function<void(Result<TuningResult>)>;
  // What is found is in the store before `done` is told. Never blocks; kBusy: at once. It may be
  // interrupted from here on, also before its turn; an interruption of one that has not ended yet
  // is forgotten, so one thread asks for one model after the other.
  void tune(TuningJob job, Done done);
  // What was chosen is not to be used any more: in the store, soon, the default is.
  void take_back(TuningKey key, std::string why);
  // What runs ends soon, with kShuttingDown.
  void interrupt() { interrupted_.store(true); }

 private:
  struct Waiting {
    TuningJob job;
    Done done;               // null: what was found is to be taken back
    std::string taken_back;  // why
  };
  void carry_out(const Waiting& waiting);
  void carry_out_taking_back(const TuningKey& key, const std::string& why);
  void run();

  const TunerOptions options_;
  const Clock& clock_;
  TuningStore& store_;
  std::atomic<bool> stopping_{false}, interrupted_{false};
  BoundedQueue<Waiting> jobs_{kTuningsWaitingMax};
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace aioss::runtime
