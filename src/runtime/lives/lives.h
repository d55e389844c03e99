// The lives of models, from the wish for a model until its worker has ended: cold → (waiting for
// room) → loading → ready → stopping → cold; one that is ready may be parked and come back:
// lives_warm.cc. Ready means: the worker is ready, the file's hash is
// known and MODEL_LOAD is durable. It serves what was hashed: a file that is written to while it is
// loaded ends its worker, at the next request or within a second. One whose name leads to another
// file is replaced (replacement.h); one whose file is gone goes once it is idle.
//
// Everything that happens to a life happens here; what is decided about it is decided elsewhere:
// room/room.h, room/residency.h. It never waits: what takes time (loading, hashing, durable
// records, a worker's end) comes back as a task that names the life by its number. Runtime thread
// only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "os/file.h"
#include "runtime/catalogue/hasher.h"
#include "runtime/lives/board.h"
#include "runtime/lives/engine_switches.h"
#include "runtime/lives/replacement.h"
#include "runtime/models/adapters.h"
#include "runtime/models/model_table.h"
#include "runtime/models/worker_link.h"
#include "runtime/records/load_records.h"
#include "runtime/records/tally.h"
#include "runtime/requests/requests.h"
#include "runtime/room/books.h"
#include "runtime/room/prefix_custody.h"
#include "runtime/room/residency.h"
#include "runtime/room/room.h"

namespace aioss::runtime {

class ModelTunings;

class Lives final : public RoomHost,
                    public RequestsHost,
                    public ResidencyHost,
                    public ReplacementHost {
 public:
  struct Parts {  // all outlive it
    const GatewayOptions& options;
    os::FileSystem& fs;
    const Clock& clock;
    ledger::Ledger& ledger;
    MetricRegistry& metrics;
    Hasher& hasher;
    ModelView& view;
    Tally& tally;
    WorkerLink::Start start_link;
    std::uint32_t streams_max = 0;
    ModelTable& models;
    const memory::Pool& pool;
    PrefixCustody& prefixes;
    Books& books;
    Room& room;
    Requests& requests;
    Residency& residency;
    Replacement& replacement;
    Board& board;
    Adapters& adapters;
    EngineSwitches& engines;
    ModelTunings& tunings;
    Post post;
    std::function<void()> less_to_wait_for;  // a life is over, or a record is durable
  };
  explicit Lives(const Parts& parts);

  // Towards ready. For whoever waits for the model, nothing is to be done but this.
  void want(Model& model) override;
  void program_hashed(const Result<Digest>& digest);
  const LoadRecords& records() const { return records_; }
  void measured(Life& life);  // its load goes on
  void prefixes_came(Life& life) { become_ready_if_whole(life); }

  // Towards its end.
  void evict(Life& life, std::string_view reason, std::vector<std::string> details) override;
  void evict_if_outdated(Life& life);
  void park(Life& life, std::string_view reason, std::vector<std::string> details) override;
  void end_at_once(Model& model) override;
  void replace_no_more(Model& model) override;
  void give_up(Model& model, const Error& error) override;
  bool end_if_changed(Life& life) override;
  void await_end(Life& life) override;
  void give_back(const Model& model, const DeviceTable::Loss& loss) override;
  void begin_no_more() { begins_no_more_ = true; }  // whoever waits: the gateway stops
  void stop_all();

  // Watching. In each turn: shows how far loads are, hurries those that stop. Every second: ends
  // those that take too long, are sick, or read what was changed.
  void look(std::int64_t now_ns);
  void check(std::int64_t now_ns);
  void log_progress(Life& life, std::int64_t now_ns);

  // What Replacement wants.
  void begin_beside(Model& model) override { begin(model, {}); }
  void drop(Life& coming, const Error& why) override;
  void take_over(Life& coming) override;
  void end_if_idle(Life& life, std::string_view reason) override;

  // What Room finds for one that waits for it.
  void start(Life& life) override;
  void device_failed(Life& life, const std::string& device, const std::string& why) override;
  void has_no_room_beside(Life& life) override { parts_.replacement.has_no_room(life); }
  void fail_load(Life& life, Error error) override;
  void turn_away(Life& life, const Error& error, const std::vector<std::string>& details) override;
  void refuse_waiting(Life& life, const Error& error) override { refuse_waiting(life, error, {}); }

 private:
  void refuse_waiting(Life& life, const Error& error, const std::vector<std::string>& details);
  // lives.cc. `number`: of a life.
  void begin(Model& model, LifeRoom room);
  Status start_worker(Life& life);
  LinkOptions link_options(Life& life, const OpenModel& files);  // and what it gets of memory
  Result<std::shared_ptr<OpenModel>> files_of(Life& life, const CatalogueEntry& entry);
  Hasher::ModelDone when_hashed(const Life& life);
  bool on_sealed(Life& life);
  void give_up_sealing(Life& life);
  void on_hashed(std::uint64_t number, const Result<ModelHash>& hash);
  void show_hash(const Life& life);
  void stop_hashing(Life& life);
  void on_hello(Life& life, ipc::Hello hello);
  void on_ready(Life& life, ipc::Ready ready);
  LoadRecords::Told when_recorded();
  void advance(Life& life);  // towards ready: what is still missing?
  void on_load_recorded(std::uint64_t number, const Result<std::uint64_t>& record);
  void become_ready_if_whole(Life& life);
  void became_ready(Life& life);
  void begin_service(Life& life);
  void serve(Life& life);
  void load_another_engine(Life& life, const Error& error);
  void cut_short(Life& life, const Error& error);
  void fail_coming(Life& life, const Error& error);
  void note_failure(const Life& life, const Error& error, std::int64_t now_ns);

  // lives_warm.cc
  void on_parked(Life& life);
  void want_back(Life& life);
  void wake(Life& life);
  void on_woken(Life& life, const ipc::Ready& ready);
  void fail_wake(Life& life, const Error& error);
  void check_warm(Life& life, std::int64_t now_ns);

  // lives_end.cc
  void on_link(std::uint64_t number, LinkEvent event);
  void begin_stopping(Life& life);
  void kill_sick(Life& life, const Error& why);  // its requests may go on with another
  void stop(Life& life, std::string_view reason);
  void kill(Life& life, const Error& why, std::string_view reason);  // and its streams
  void on_lost(Life& life, LinkLost lost);
  void on_ended(Life& life, const LinkEnded& ended);
  void note_death(Life& life, const LinkEnded& ended);
  bool lose_device(Life& life, const std::string& why);
  void note_loss(const DeviceTable::Loss& loss, const Model& model, const std::string& why);
  void follow(Model& model, Life& ended);
  bool loads_again(Model& model, const LinkEnded& ended);
  void hurry(Life& life, std::int64_t stopping_ns);

  const Parts parts_;
  ModelTable& models_;
  LoadRecords records_;
  std::uint64_t starts_ = 0;
  bool begins_no_more_ = false;
  Counter& restarts_;
  Counter& load_failures_;
  Histogram& load_seconds_;
};

}  // namespace aioss::runtime
