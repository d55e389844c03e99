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
#include "os/file.h"
#include "runtime/answer.h"
#include "runtime/catalogue.h"
#include "runtime/gateway.h"
#include "runtime/hasher.h"
#include "runtime/model_view.h"
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
    std::shared_ptr<const OpenModel> files;  // what the worker loads, as long as there is one
    std::shared_ptr<OpenModel> sealing;      // they, until they are sealed and a worker has them
    ModelSettings settings;                  // it was started with these
    bool outdated = false;  // the catalogue has other files or settings by this name, or none
    bool forgets = false;   // once it listens: somebody was erased meanwhile
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
    bool died_before = false;
    std::uint32_t loads_killed = 0;  // one after another, by somebody else
    bool ended_by_itself = false;    // while stopping: nobody asked it to
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
              const Slot& slot);
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

  // supervisor_load.cc
  void want(Slot& slot);  // start it, now or when there is room
  bool make_room(const Slot& for_slot);
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
  void became_ready(Slot& slot);
  void fail_load(Slot& slot, Error error);
  void stop_hashing(Slot& slot);
  void stop(Slot& slot, std::string_view reason);
  void evict(Slot& slot, std::string_view reason);  // stop() by our own decision
  void append_model_unload(std::uint64_t load_record, const std::string& reason);
  void on_unload_recorded(const Result<ledger::Committed>& result);
  void finish_stop_all();
  std::size_t links() const;

  const SupervisorParts parts_;
  StreamDesk& desk_;
  Catalogue catalogue_;
  PrefixStore prefixes_;
  std::map<std::string, std::unique_ptr<Slot>, std::less<>> slots_;
  std::unordered_map<ipc::RequestId, Running> running_;
  Quarantine quarantine_;
  std::set<std::pair<std::int64_t, ipc::RequestId>> deadlines_;  // of running_, by time
  std::map<std::string, Engine> engines_;                        // by identity
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
  std::vector<std::shared_ptr<os::Child>> unreaped_;  // processes that outlived their links

  Gauge& workers_gauge_;
  Gauge& queue_gauge_;
  Gauge& running_gauge_;
  WorkerGauges worker_gauges_;
  Counter& restarts_;
  Counter& load_failures_;
  Histogram& load_seconds_;
};

// How many tasks can be in the queue at once, so that none that matters is ever refused.
std::size_t task_queue_capacity(std::uint32_t streams_max, std::uint32_t workers_max);
// So many callers may wait for the load of one model, and as many for its probe; the next are told
// "busy". There is room in the queue for both; rescans and erasures come one at a time.
inline constexpr std::size_t kCallerTasksMax = 64;

}  // namespace aioss::runtime
