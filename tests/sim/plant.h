// The gateway of a run: the real parts of runtime and ledger, put together as gateway.cc does it,
// driven by hand. Whenever one of them has work, an event for it is made, after a delay that chance
// chooses; so the order in which they get on is different in every run, and the same in each
// repetition of one.
//
// The disk is in memory. It forgets on a power cut what was not synced, and it can be full.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ledger/custody/custody.h"
#include "ledger/writing/ledger.h"
#include "os/testing/fault_file_system.h"
#include "os/testing/power_cut_file_system.h"
#include "runtime/catalogue/hash_cache.h"
#include "runtime/catalogue/hasher.h"
#include "runtime/models/model_view.h"
#include "runtime/records/tally.h"
#include "runtime/stream_desk.h"
#include "runtime/streams/custodian.h"
#include "runtime/supervisor.h"
#include "tests/sim/worker_actor.h"

namespace aioss::sim {

inline constexpr const char* kLedger = "ledger";
inline constexpr std::uint64_t kReserveBytes = 256ULL << 20;

// A model of the fake engine, in memory; its name is in none of its answers.
os::Fd model_file(std::uint32_t number);

class Plant final {
 public:
  Plant(World& world, Watch& watch, const Scenario& scenario);
  ~Plant();
  Plant(const Plant&) = delete;
  Plant& operator=(const Plant&) = delete;

  // As the gateway's submit().
  Result<std::shared_ptr<runtime::StreamState>> submit(const ClientPlan& plan);
  // After every event: those that have work now get an event of their own.
  void settle();

  void trouble(const TroublePlan& plan);
  void abort_all();
  void begin_stopping();
  bool has_stopped() const;
  bool has_died() const { return disk_dead_; }
  // Nothing can be written from here on.
  void kill_disk();

  std::uint32_t streams() const { return desk_->streams(); }
  // Of every place and every worker; "": all is well.
  std::string imbalance();
  // Writes the ends of the engines and closes the ledger; only once it has stopped.
  void close();
  // What a power cut now would leave of the disk.
  std::unique_ptr<os::PowerCutFileSystem> after_power_cut(os::PowerCut cut) const {
    return disk_.after_power_cut(cut);
  }
  const std::string& verifier_key() const { return verifier_key_; }
  bool request_records_may_lack() const;

 private:
  class Peer;
  void make_models();
  void open_ledger();
  void make_runtime();
  Result<std::unique_ptr<runtime::WorkerLink>> start_link(const runtime::LinkOptions& options,
                                                          runtime::WorkerLink::OnEvent on_event);
  WorkerActor* some_worker();
  void tick();
  void turn_of_ledger();
  bool hand_on(const std::shared_ptr<runtime::StreamState>& stream, std::size_t bytes);

  World& world_;
  Watch& watch_;
  const Scenario& scenario_;
  Dice dice_;
  SeededRandom random_;
  MetricRegistry metrics_;
  os::PowerCutFileSystem disk_;
  os::FaultFileSystem faulty_{disk_};
  os::RealFileSystem model_files_;  // of files in memory
  std::vector<os::Fd> models_;
  runtime::GatewayOptions options_;
  std::string verifier_key_;
  std::unique_ptr<ledger::Ledger> ledger_;
  std::unique_ptr<ledger::Custody> custody_;
  std::unique_ptr<runtime::ModelView> view_;
  std::unique_ptr<runtime::HashCache> hashes_;
  std::shared_ptr<runtime::Tally> tally_;
  std::shared_ptr<runtime::StreamDesk> desk_;
  std::unique_ptr<runtime::Hasher> hasher_;
  std::unique_ptr<runtime::Custodian> custodian_;
  std::unique_ptr<runtime::Supervisor> supervisor_;
  std::shared_ptr<runtime::Answer<runtime::Supervisor::Stopped>> stopped_;

  std::map<std::uint64_t, std::shared_ptr<WorkerActor>> workers_;  // by number
  std::map<std::uint64_t, runtime::WorkerLink*> links_;            // that there are
  WorkerActor::Load next_load_ = WorkerActor::Load::kGood;
  ipc::RequestId last_id_ = 0;
  std::int64_t disk_slow_until_ = 0;
  bool disk_dead_ = false;
  class FixedPlanner;
  std::unique_ptr<FixedPlanner> planner_;
  bool supervisor_armed_ = false, ledger_armed_ = false, custodian_armed_ = false,
       hasher_armed_ = false;
};

}  // namespace aioss::sim
