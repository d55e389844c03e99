// The owner of models and workers: starts a worker when a model is asked for, hands requests over,
// notices failures, makes room, stops. All its state belongs to the runtime thread; other threads
// reach it by tasks (stream_desk.h). It never waits: what takes time (loading, hashing, durable
// records, a worker's end) comes back as a task.
//
// A model goes cold → (waiting for room) → loading → ready → stopping → cold. Ready means: the
// worker is ready, the file's hash is known and MODEL_LOAD is durable; requests that came before
// wait. It serves what was hashed: a file that is written to while it is loaded ends its worker, at
// the next request or within a second. One whose name leads to another file goes at the next
// rescan, or once it is idle after that.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "crypto/random.h"
#include "ledger/writing/ledger.h"
#include "memory/eviction.h"
#include "os/file.h"
#include "runtime/answer.h"
#include "runtime/catalogue.h"
#include "runtime/gateway.h"
#include "runtime/hasher.h"
#include "runtime/load_records.h"
#include "runtime/memory_gauges.h"
#include "runtime/model_table.h"
#include "runtime/model_view.h"
#include "runtime/planner.h"
#include "runtime/prefix_store.h"
#include "runtime/quarantine.h"
#include "runtime/stream_desk.h"
#include "runtime/tally.h"
#include "runtime/worker_gauges.h"
#include "runtime/worker_link.h"

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
  struct Running {
    std::shared_ptr<StreamState> stream;
    Model* model = nullptr;
    std::size_t prompt_bytes = 0;
    std::uint64_t life = 0;  // that it was handed to, which may have ended; 0: it waits
    bool is_handed_over() const { return life != 0; }
  };

  // supervisor.cc
  void decide(std::string_view kind, std::string_view outcome, std::string_view reason,
              const Model& model, std::vector<std::string> details = {});
  void refuse(const Model& model, StreamState& stream, const Error& error);
  bool refuse_quarantined(const Model& model, StreamState& stream);
  void hand_over(Life& life, const std::shared_ptr<StreamState>& stream);
  void hand_over_waiting(Model& model);
  bool must_wait(const Life& life, const StreamState& stream) const;
  WorkerLink* link_of(const Running& running) const;
  bool end_if_changed(Life& life);
  void evict_if_outdated(Life& life);
  void abort_waiting(Model& model, const Error& error);
  void await_end(Life& life);
  void hurry(Life& life, std::int64_t stopping_ns);
  void tick();
  void check_workers(std::int64_t now_ns);
  void check_ledger();
  void publish(Model& model);
  void publish_totals();

  // supervisor_queue.cc
  void note_deadline(const StreamState& stream);
  void forget_deadline(const StreamState& stream);
  void end_overdue(std::int64_t now_ns);
  std::chrono::milliseconds patience(std::chrono::milliseconds most) const;
  void publish_load(const Model& model);

  // supervisor_files.cc
  Result<std::shared_ptr<OpenModel>> files_of(Life& life, const CatalogueEntry& entry);
  void begin_sealing(Life& life);
  bool on_sealed(Life& life);
  void give_up_sealing(Life& life);

  // supervisor_prefixes.cc
  void give_prefixes(Life& life, LinkOptions& link, const std::vector<os::FileInfo>& files);
  void bring_prefixes(Life& life);
  void on_prefixes_brought(std::uint64_t number, PrefixOwners owners);
  void take_prefixes(const Life& life, std::uint64_t chunk_ns);
  void note_owner(const Model& model, const StreamState& stream);

  // supervisor_residence.cc
  std::chrono::seconds stay_of(const Model& model) const;
  void take_pins(const Catalogue& before);
  void begin_residence(const Life& life);  // it is ready
  void note_use(Model& model, const StreamState& stream);
  bool may_evict(const Model& model) const;
  void expire(Model& model, std::int64_t now_ns);
  void keep_residence(std::int64_t now_ns);  // every second
  void log_progress(Life& life, std::int64_t now_ns);
  void publish_residence(const Model& model);
  void order_load(Model& model, const std::shared_ptr<Answer<ModelEntry>>& answer);
  void order_unload(Model& model, bool force);
  void order_unpin(Model& model);
  void end_streams_of(Model& model);
  void note_failure(const Life& life, const Error& error, std::int64_t now_ns);
  bool refuse_failed(Model& model, StreamState& stream);
  bool may_make_room(const Model& model) const;
  ModelWait wait_of(const Model& model, std::size_t position) const;
  void note_load_wait(const StreamState& stream);
  void forget_load_wait(const StreamState& stream);
  void end_load_waits(std::int64_t now_ns);
  void tell_waiting(std::int64_t now_ns);  // how far their loads are

  // supervisor_load.cc. `number`: of a life.
  void want(Model& model, LifeRoom room = {});  // start it, once there is room
  void start(Life& life);
  Status start_worker(Life& life);
  void on_link(std::uint64_t number, LinkEvent event);
  void on_hello(Life& life, ipc::Hello hello);
  void on_ready(Life& life, ipc::Ready ready);
  void on_load_failed(Life& life, const Error& error);
  void on_probe(Life& life, const ipc::ProbeReport& report);
  void on_ended(Life& life, const LinkEnded& ended);
  void note_death(Life& life, const LinkEnded& ended);
  void on_lost(Life& life, LinkLost lost);
  void find_the_cause(Life& life, const LinkEnded& ended);
  void quarantine(const Life& life, const StreamState& stream);
  bool loads_again(Model& model, const LinkEnded& ended);
  void on_hashed(std::uint64_t number, Result<ModelHash> hash);
  LoadRecords::Told when_recorded();
  void advance(Life& life);  // towards ready: what is still missing?
  void on_load_recorded(std::uint64_t number, const Result<std::uint64_t>& record);
  void become_ready_if_whole(Life& life);
  void became_ready(Life& life);
  void fail_load(Life& life, Error error);
  void stop_hashing(Life& life);
  void stop(Life& life, std::string_view reason);
  // stop() by our own decision. `details`: why this one.
  void evict(Life& life, std::string_view reason, std::vector<std::string> details = {});
  void finish_stop_all();

  // supervisor_room.cc: how a model that is wanted comes to have room, and who has to go for it.
  struct Missing {  // for a load, beside what is free or will be
    std::uint64_t bytes = 0;
    std::size_t workers = 0;
  };
  void plan(Life& life);
  bool is_as_planned(const Life& life, const CatalogueEntry& entry, const OpenModel& files) const;
  void plan_again(Life& life);
  Status within_own_limit(const Model& model, const ModelPlan& plan) const;
  void on_planned(std::uint64_t number, Result<ModelPlan> plan);
  void admit_waiting();
  bool admit(Life& life);
  bool take_room(Life& life);
  bool make_room(Life& life);
  std::uint64_t shortfall_of(const Life& life) const;
  Missing missing_for(const Life& life) const;
  std::vector<Life*> waiting_for_room() const;
  void turn_away(Life& life, const Missing& missing, const memory::Choice& choice);
  void refuse_waiting(Life& life, const Error& error);
  memory::Stays stays(const Life& life) const;  // why it may not be evicted
  std::vector<memory::Candidate> candidates(const std::string& device, const Life* but) const;
  void evict_chosen(const memory::Choice& choice, std::string_view reason, const std::string& why);
  std::uint64_t kept_prefixes() const;
  std::uint64_t drop_kept_prefixes(std::uint64_t bytes);

  // supervisor_memory.cc: the books of memory.
  void update_books();
  std::uint64_t follow(Model& model);
  std::uint64_t follow_prefixes(Model& model);
  std::uint64_t follow(Life& life, std::uint64_t prefixes);
  void open(const std::string& holder, memory::Lease& lease, memory::Kind kind);
  void set_host_limit(std::uint64_t held);
  void limit_caches(Life& life);
  void leave_room(Life& life, const LinkEnded& ended);
  void give_way(std::int64_t now_ns);
  bool is_under_pressure();
  void publish_memory();
  MemoryOfModel memory_of(const memory::Holding& holding) const;

  const SupervisorParts parts_;
  StreamDesk& desk_;
  memory::Pool pool_;  // before whoever has leases
  ModelTable models_;
  LoadRecords records_;
  PrefixStore prefixes_;
  std::uint64_t host_usable_ = 0, host_reserve_ = 0;  // as the system last said
  std::optional<os::Pressure> pressure_;              // likewise
  unsigned seconds_over_ = 0;  // one after another in which more was in use than may be
  std::int64_t gave_way_ns_ = 0;
  std::uint64_t turns_ = 0;
  std::size_t plans_pending_ = 0;
  bool room_changed_ = false;       // those that wait for it should be looked at
  std::deque<Eviction> evictions_;  // the last kEvictionsShown
  std::uint64_t evictions_total_ = 0;
  std::unordered_map<ipc::RequestId, Running> running_;
  Quarantine quarantine_;
  std::set<std::pair<std::int64_t, ipc::RequestId>> deadlines_;   // of running_, by time
  std::set<std::pair<std::int64_t, ipc::RequestId>> load_waits_;  // likewise: for their models
  std::int64_t told_ns_ = 0;                                      // see tell_waiting()
  std::uint64_t workers_started_ = 0;
  std::optional<Error> refusing_;  // everything, since abort_all()
  std::shared_ptr<Answer<Stopped>> stop_answer_;
  std::int64_t last_second_ns_ = 0;
  struct Unreaped {  // a process that outlived its link, and what it still has
    std::shared_ptr<os::Child> child;
    std::vector<memory::Lease> leases;
  };
  std::vector<Unreaped> unreaped_;

  Gauge& workers_gauge_;
  Gauge& queue_gauge_;
  Gauge& running_gauge_;
  WorkerGauges worker_gauges_;
  MemoryGauges memory_gauges_;
  Counter& restarts_;
  Counter& load_failures_;
  Histogram& load_seconds_;
};

// How many tasks can be in the queue at once, so that none that matters is ever refused.
std::size_t task_queue_capacity(std::uint32_t streams_max, std::uint32_t workers_max);
// So many callers may wait for the load of one model, and as many for its probe; the next are told
// "busy". There is room in the queue for both; rescans and erasures come one at a time.
inline constexpr std::size_t kCallerTasksMax = 64;
// So many models are planned at once, whose answers are tasks; who wants another is told "busy".
inline constexpr std::size_t kPlansMax = 64;

}  // namespace aioss::runtime
