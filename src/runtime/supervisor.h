// The owner of models and workers: starts a worker when a model is asked for, hands requests over,
// notices failures, makes room, stops. All its state belongs to the runtime thread; other threads
// reach it by tasks (stream_desk.h). It never waits: what takes time (loading, hashing,
// durable records, a worker's end) comes back as a task.
//
// It is what other threads see of the parts that do this, and what turns them: each has its own
// state and header. docs/architecture.md, "The runtime thread", says who asks whom.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "ledger/writing/ledger.h"
#include "memory/pool.h"
#include "os/file.h"
#include "runtime/calls/answer.h"
#include "runtime/calls/model_entry.h"
#include "runtime/calls/model_order.h"
#include "runtime/catalogue/catalogue.h"
#include "runtime/catalogue/hasher.h"
#include "runtime/dry_runs/planner.h"
#include "runtime/lives/board.h"
#include "runtime/lives/engine_switches.h"
#include "runtime/lives/lives.h"
#include "runtime/lives/model_tunings.h"
#include "runtime/lives/replacement.h"
#include "runtime/models/adapters.h"
#include "runtime/models/model_table.h"
#include "runtime/models/model_view.h"
#include "runtime/models/worker_link.h"
#include "runtime/planning/engine_choices.h"
#include "runtime/records/tally.h"
#include "runtime/requests/requests.h"
#include "runtime/room/books.h"
#include "runtime/room/prefix_custody.h"
#include "runtime/room/residency.h"
#include "runtime/room/room.h"
#include "runtime/settings/gateway_options.h"
#include "runtime/stream_desk.h"

namespace aioss::runtime {

struct SupervisorParts {  // all outlive the supervisor
  const GatewayOptions& options;
  os::FileSystem& fs;
  const Clock& clock;
  ledger::Ledger& ledger;
  MetricRegistry& metrics;
  Hasher& hasher;
  ModelView& view;
  Tally& tally;
  std::shared_ptr<StreamDesk> desk;
  std::uint32_t streams_max = 0;
  WorkerLink::Start start_link = &WorkerLink::start;
  Planner* planner = nullptr;         // null: what a model needs is guessed from its file's size
  PrefixDisk* prefix_disk = nullptr;  // null: prefixes end with the gateway
  AdapterCopier* adapter_copier = nullptr;  // null: there are no adapters
  Replacement::AskCanary ask_canary = {};
  EngineChoices* engine_choices = nullptr;  // null: nobody switches engines
  Tuner* tuner = nullptr;                   // null: nothing is measured
  TuningStore* tunings = nullptr;           // of what was; null: nothing
};

class Supervisor final {
 public:
  Supervisor(const SupervisorParts& parts, Catalogue catalogue);
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  // Runs tasks until the queue is closed and empty.
  void run();
  // What run() does in one turn, without waiting: one task, if there is one.
  void run_pending();

  // Tasks of other threads.
  void submit(std::shared_ptr<StreamState> stream, std::size_t prompt_bytes);
  // One that cannot be taken on: it ends here, as if it had been submitted.
  void turn_away(std::shared_ptr<StreamState> stream, std::size_t prompt_bytes, const Error& error);
  void stop_request(ipc::RequestId id);
  void give_credit(ipc::RequestId id);
  void stream_ended(ipc::RequestId id);
  void load(const std::string& model, std::shared_ptr<Answer<ModelEntry>> answer);
  void probe(const std::string& model, std::shared_ptr<Answer<ipc::ProbeReport>> answer);
  void order(const ModelOrder& order, std::shared_ptr<Answer<ModelEntry>> answer);
  void order_engine(const EngineOrder& order, std::shared_ptr<Answer<ModelEntry>> answer);
  void preload();  // what the options say; in their order, as far as there is room
  void replace_catalogue(Catalogue catalogue, std::shared_ptr<Answer<bool>> answer);
  void binary_hashed(Result<Digest> digest);
  void forget_prefixes();
  // Refuses everything new and ends every stream.
  void abort_all(const Error& why);
  // Stops all workers; then the answer.
  struct Stopped {
    std::vector<std::uint64_t> engine_records;  // of the engines that were started
    std::size_t records_lost = 0;  // ends of loads that the ledger did not take, in this life
  };
  void stop_all(std::shared_ptr<Answer<Stopped>> answer);

  // What workers have of the books; nothing, once all have ended. For tests.
  std::uint64_t bytes_of_workers() const;

 private:
  bool is_changing() const;
  bool is_outdated(const Life& life) const;
  bool is_quiet() const;
  Catalogue chosen(Catalogue catalogue) const;  // with what operators and measuring have chosen
  void judge_anew(Model& model);
  void canary_ended(const Requests::Left& left);
  void tick();
  void each_second(std::int64_t now_ns);
  void admit();
  void check_ledger();
  void finish_stop_all();

  const SupervisorParts parts_;
  EngineChoices no_choices_;  // where parts have none
  EngineChoices& choices_;
  StreamDesk& desk_;
  const Post post_;
  // In this order: leases end before their pool, and whoever is borrowed outlives the borrower.
  memory::Pool pool_;
  ModelTable models_;
  PrefixCustody prefixes_;
  Books books_;
  Adapters adapters_;
  Room room_;
  Requests requests_;
  Residency residency_;
  EngineSwitches engines_;
  Replacement replacement_;
  ModelTunings tunings_;
  Board board_;
  Lives lives_;
  std::optional<Error> refusing_;  // everything, since abort_all()
  std::shared_ptr<Answer<Stopped>> stop_answer_;
  std::int64_t last_second_ns_ = 0;
};

// How many tasks can be in the queue at once, so that none that matters is ever refused.
std::size_t task_queue_capacity(std::uint32_t streams_max, std::uint32_t workers_max);
// So many callers may wait for the load of one model, and as many for its probe; the next are told
// "busy". There is room in the queue for both; rescans and erasures come one at a time.
inline constexpr std::size_t kCallerTasksMax = 64;

}  // namespace aioss::runtime
