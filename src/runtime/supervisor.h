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
#include "runtime/load_failures.h"
#include "runtime/memory_gauges.h"
#include "runtime/model_room.h"
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
  enum class Phase { kCold, kWaitingForRoom, kLoading, kReady, kStopping };

  struct Slot {  // one model
    std::string name;
    Phase phase = Phase::kCold;
    std::uint64_t load = 0;  // number of the load, so that late tasks of an earlier one are known
    std::unique_ptr<WorkerLink> link;
    std::optional<ipc::Hello> hello;
    std::optional<ipc::Ready> ready;
    std::optional<ModelHash> hash;
    std::optional<Hasher::Ticket> hashing;
    ipc::Configure configured;
    std::shared_ptr<const OpenModel> files;  // what the worker loads, as long as there is one
    std::shared_ptr<OpenModel> sealing;      // they, until they are sealed and a worker has them
    ModelSettings settings;                  // it was planned and is started with these
    bool outdated = false;  // the catalogue has other files or settings by this name, or none
    bool forgets = false;   // once it listens: somebody was erased meanwhile
    enum class Prefixes { kThere, kOnTheDisk, kComing } prefixes = Prefixes::kThere;
    // A worker crashed: what the disk has is not brought again, for it may be the cause.
    bool distrusts_prefixes = false;
    bool load_appended = false;
    std::optional<std::uint64_t> load_record;
    std::string unload_reason;  // for MODEL_UNLOAD; "": nobody asked it to end
    std::deque<std::shared_ptr<StreamState>> waiting;
    std::vector<std::shared_ptr<StreamState>> survivors;  // of the worker that was lost
    std::optional<ipc::RequestId> suspect;  // runs alone: see StreamState::is_suspect()
    std::vector<std::shared_ptr<Answer<ModelEntry>>> load_waiters;
    std::vector<std::shared_ptr<Answer<ipc::ProbeReport>>> probe_waiters;
    std::optional<Error> last_error;
    std::int64_t failed_ns = 0, load_began_ns = 0, stop_began_ns = 0, last_used_ns = 0;
    // How long it stays: supervisor_residence.cc.
    bool pinned = false;                   // never evicted, never expires
    int priority = 0;                      // the lower go first
    std::int64_t keep_alive_until_ns = 0;  // while it is idle; kForeverNs
    bool by_order = false;                 // an operator wanted this load
    bool unload_ordered = false;           // once it is idle
    std::string user;                      // the first tenant since it was loaded
    bool shared = false;                   // not the only one
    LoadFailures failures;
    std::int64_t last_load_ns = 0;  // how long the last load took; 0: not known
    std::int64_t logged_ns = 0;     // when the log was last told how far the load is
    bool died_before = false;
    std::uint32_t loads_killed = 0;  // one after another, by somebody else
    bool ended_by_itself = false;    // while stopping: nobody asked it to
    ModelRoom room;
  };

  struct Running {
    std::shared_ptr<StreamState> stream;
    Slot* slot = nullptr;
    std::size_t prompt_bytes = 0;
    bool handed_over = false;
  };

  struct Engine {
    bool appended = false;
    std::optional<std::uint64_t> record;
  };

  // supervisor.cc
  Slot& slot_of(const std::string& model);
  void decide(std::string_view kind, std::string_view outcome, std::string_view reason,
              const Slot& slot, std::vector<std::string> details = {});
  void refuse(Slot& slot, StreamState& stream, const Error& error);
  bool refuse_quarantined(Slot& slot, StreamState& stream);
  void hand_over(Slot& slot, const std::shared_ptr<StreamState>& stream);
  void hand_over_waiting(Slot& slot);
  bool must_wait(const Slot& slot, const StreamState& stream) const;
  bool end_if_changed(Slot& slot);
  void evict_if_outdated(Slot& slot);
  void abort_waiting(Slot& slot, const Error& error);
  void await_end(Slot& slot);
  void hurry(Slot& slot, std::int64_t stopping_ns);
  void tick();
  void check_workers(std::int64_t now_ns);
  void check_ledger();
  bool is_idle(const Slot& slot) const;
  void publish(Slot& slot);
  void publish_totals();

  // supervisor_queue.cc
  void note_deadline(const StreamState& stream);
  void forget_deadline(const StreamState& stream);
  void end_overdue(std::int64_t now_ns);
  std::chrono::milliseconds patience(std::chrono::milliseconds most) const;
  void publish_load(const Slot& slot);

  // supervisor_files.cc
  Result<std::shared_ptr<OpenModel>> files_of(Slot& slot, const CatalogueEntry& entry);
  void begin_sealing(Slot& slot);
  bool on_sealed(Slot& slot);
  void give_up_sealing(Slot& slot);

  // supervisor_prefixes.cc
  void give_prefixes(Slot& slot, LinkOptions& link, const std::vector<os::FileInfo>& files);
  void bring_prefixes(Slot& slot);
  void on_prefixes_brought(const std::string& model, std::uint64_t load, PrefixOwners owners);
  void take_prefixes(Slot& slot, std::uint64_t chunk_ns);
  void note_owner(const Slot& slot, const StreamState& stream);

  // supervisor_residence.cc
  const ModelSettings& own_settings(const std::string& model) const;
  std::chrono::seconds stay_of(const Slot& slot) const;
  std::int64_t priority_of(const Slot& slot) const;
  const std::string& real_name(const std::string& name) const;  // of an alias
  void take_pins(const Catalogue& before);
  void begin_residence(Slot& slot);  // it is ready
  void note_use(Slot& slot, const StreamState& stream);
  bool may_evict(const Slot& slot) const;
  void expire(Slot& slot, std::int64_t now_ns);
  void keep_residence(std::int64_t now_ns);  // every second
  void publish_residence(const Slot& slot);
  void order_load(Slot& slot, const std::shared_ptr<Answer<ModelEntry>>& answer);
  void order_unload(Slot& slot, bool force);
  void order_unpin(Slot& slot);
  void end_streams_of(Slot& slot);
  void note_failure(Slot& slot, const Error& error);
  bool refuse_failed(Slot& slot, StreamState& stream);
  bool may_make_room(const Slot& slot) const;
  ModelWait wait_of(const Slot& slot, std::size_t position) const;
  void note_load_wait(const StreamState& stream);
  void forget_load_wait(const StreamState& stream);
  void end_load_waits(std::int64_t now_ns);
  void tell_waiting(std::int64_t now_ns);  // how far their loads are

  // supervisor_load.cc
  void want(Slot& slot);  // start it, once there is room
  void start(Slot& slot);
  Status start_worker(Slot& slot);
  void on_link(const std::string& model, std::uint64_t load, LinkEvent event);
  void on_hello(Slot& slot, ipc::Hello hello);
  void on_ready(Slot& slot, ipc::Ready ready);
  void on_load_failed(Slot& slot, const Error& error);
  void on_probe(Slot& slot, const ipc::ProbeReport& report);
  void on_ended(Slot& slot, const LinkEnded& ended);
  void on_lost(Slot& slot, LinkLost lost);
  void find_the_cause(Slot& slot, const LinkEnded& ended);
  void quarantine(const Slot& slot, const StreamState& stream);
  static bool has_begun_waiting(const Slot& slot);
  bool loads_again(Slot& slot, const LinkEnded& ended);
  void on_hashed(const std::string& model, std::uint64_t load, Result<ModelHash> hash);
  void advance(Slot& slot);  // towards ready: what is still missing?
  void append_update();
  void on_update_recorded(const Result<ledger::Committed>& result);
  void fail_ready_loads(const Error& error);
  void append_engine_start(Slot& slot, const std::string& identity);
  void on_engine_recorded(const std::string& identity, const Result<ledger::Committed>& result);
  void append_model_load(Slot& slot, std::uint64_t engine_record);
  void on_load_recorded(const std::string& model, std::uint64_t load,
                        const Result<ledger::Committed>& result);
  void become_ready_if_whole(Slot& slot);
  void became_ready(Slot& slot);
  void fail_load(Slot& slot, Error error);
  void stop_hashing(Slot& slot);
  void stop(Slot& slot, std::string_view reason);
  // stop() by our own decision. `details`: why this one.
  void evict(Slot& slot, std::string_view reason, std::vector<std::string> details = {});
  void append_model_unload(std::uint64_t load_record, const std::string& reason);
  void on_unload_recorded(const Result<ledger::Committed>& result);
  void finish_stop_all();
  std::size_t links() const;

  // supervisor_room.cc: how a model that is wanted comes to have room, and who has to go for it.
  struct Missing {  // for a load, beside what is free or will be
    std::uint64_t bytes = 0;
    std::size_t workers = 0;
  };
  void plan(Slot& slot);
  bool is_as_planned(const Slot& slot, const CatalogueEntry& entry, const OpenModel& files) const;
  void plan_again(Slot& slot);
  Status within_own_limit(const Slot& slot, const ModelPlan& plan) const;
  void on_planned(const std::string& model, std::uint64_t number, Result<ModelPlan> plan);
  void admit_waiting();
  bool admit(Slot& slot);
  bool take_room(Slot& slot);
  bool make_room(Slot& slot);
  std::uint64_t shortfall_of(const Slot& slot) const;
  Missing missing_for(const Slot& slot) const;
  std::vector<Slot*> waiting_for_room();
  void turn_away(Slot& slot, const Missing& missing, const memory::Choice& choice);
  void refuse_waiting(Slot& slot, const Error& error);
  memory::Stays stays(const Slot& slot) const;  // why it may not be evicted
  std::vector<memory::Candidate> candidates(const std::string& device, const Slot* but) const;
  void evict_chosen(const memory::Choice& choice, std::string_view reason, const std::string& why);
  std::uint64_t kept_prefixes() const;
  std::uint64_t drop_kept_prefixes(std::uint64_t bytes);

  // supervisor_memory.cc: the books of memory.
  void update_books();
  std::uint64_t follow(Slot& slot);
  void open(const Slot& slot, memory::Lease& lease, memory::Kind kind);
  void set_host_limit(std::uint64_t held);
  void limit_caches(Slot& slot);
  void leave_room(Slot& slot, const LinkEnded& ended);
  void give_way(std::int64_t now_ns);
  bool is_under_pressure();
  void publish_memory();
  MemoryOfModel memory_of(const memory::Holding& holding) const;

  const SupervisorParts parts_;
  StreamDesk& desk_;
  Catalogue catalogue_;
  PrefixStore prefixes_;
  memory::Pool pool_;                                 // before whoever has leases
  std::uint64_t host_usable_ = 0, host_reserve_ = 0;  // as the system last said
  std::optional<os::Pressure> pressure_;              // likewise
  unsigned seconds_over_ = 0;  // one after another in which more was in use than may be
  std::int64_t gave_way_ns_ = 0;
  std::uint64_t plans_ = 0, turns_ = 0;
  std::size_t plans_pending_ = 0;
  bool room_changed_ = false;       // those that wait for it should be looked at
  std::deque<Eviction> evictions_;  // the last kEvictionsShown
  std::uint64_t evictions_total_ = 0;
  std::map<std::string, std::unique_ptr<Slot>, std::less<>> slots_;
  std::unordered_map<ipc::RequestId, Running> running_;
  Quarantine quarantine_;
  std::set<std::pair<std::int64_t, ipc::RequestId>> deadlines_;   // of running_, by time
  std::set<std::pair<std::int64_t, ipc::RequestId>> load_waits_;  // likewise: for their models
  std::int64_t told_ns_ = 0;                                      // see tell_waiting()
  std::map<std::string, Engine> engines_;                         // by identity
  std::optional<Digest> binary_sha3_;
  // Another executable than the ledger's last one: UPDATE comes before anything it does.
  enum class Update { kNone, kDue, kAppended };
  Update update_ = Update::kNone;
  std::optional<Error> binary_problem_;  // why it could not be hashed: no engine can be recorded
  std::string cpu_model_;
  std::uint64_t loads_ = 0;
  // UPDATE, ENGINE_START, MODEL_LOAD and MODEL_UNLOAD that are not durable yet.
  std::size_t records_pending_ = 0;
  std::size_t records_lost_ = 0;
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
