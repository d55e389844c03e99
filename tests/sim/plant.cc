#include "tests/sim/plant.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <utility>

#include "base/assert.h"
#include "runtime/records/records.h"
#include "runtime/records/salts.h"

namespace aioss::sim {
namespace {

constexpr std::int64_t kModelTime = 1'700'000'000;  // seconds: of the files, always the same
constexpr std::string_view kScript =
    "aioss-fake 1\n"
    "context 4096\n"
    "reply Yes.\n"
    "reply The quick brown fox jumps over the lazy dog, twice.\n"
    "margin 3\n";
constexpr std::uint64_t kMachineBytes = std::uint64_t{1} << 40;
constexpr std::int64_t kTickEvery = 200 * kMilli;
constexpr std::uint32_t kRunningMax = 512;

void set_time(int fd, std::int64_t seconds) {
  const timespec times[2] = {{seconds, 0}, {seconds, 0}};
  ASSERT(::futimens(fd, times) == 0);
}

ledger::CustodyOptions custody_options() {
  ledger::CustodyOptions options;
  options.directory = kLedger;
  return options;
}

}  // namespace

os::Fd model_file(std::uint32_t number) {
  os::Fd fd(::memfd_create("model", MFD_CLOEXEC));
  const std::string script = std::string(kScript) + "# " + std::to_string(number) + "\n";
  ASSERT(::write(fd.get(), script.data(), script.size()) == static_cast<ssize_t>(script.size()));
  return fd;
}

// What the link owns of a worker.
class Plant::Peer final : public runtime::WorkerPeer {
 public:
  Peer(Plant& plant, std::shared_ptr<WorkerActor> actor)
      : plant_(plant), actor_(std::move(actor)) {}
  ~Peer() override {
    plant_.links_.erase(actor_->number());
    actor_->let_go();
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  int pid() const override { return static_cast<int>(actor_->number()); }
  Status send(ByteView frame) override { return actor_->deliver(frame); }
  Result<Bytes> receive() override { return actor_->receive(); }
  void shut_down() override { actor_->shut_down(); }
  Status send_signal(int signal) override { return actor_->send_signal(signal); }
  std::optional<os::ExitStatus> ended() override { return actor_->ended(); }
  std::shared_ptr<os::Child> give_up() override { return nullptr; }

 private:
  Plant& plant_;
  const std::shared_ptr<WorkerActor> actor_;
};

// Answers after a while, by the number in the model's name.
class Plant::FixedPlanner final : public runtime::Planner {
 public:
  FixedPlanner(World& world, Dice& dice, const std::vector<os::Fd>& models)
      : world_(world), dice_(dice), models_(models) {}
  void plan(std::shared_ptr<const runtime::OpenModel> files, runtime::PlanWanted,
            Done done) override {
    runtime::ModelPlan plan;
    plan.exact = true;
    for (std::uint32_t i = 0; i < models_.size(); ++i) {
      const auto info = os::descriptor_info(models_[i].get());
      if (info && info->inode == files->parts.front().inode) plan.needs.kv = model_bytes(i);
    }
    world_.after(dice_.between(1, 300) * kMilli, [plan, done = std::move(done)] { done(plan); });
  }

 private:
  World& world_;
  Dice& dice_;
  const std::vector<os::Fd>& models_;
};

Plant::Plant(World& world, Watch& watch, const Scenario& scenario)
    : world_(world),
      watch_(watch),
      scenario_(scenario),
      dice_(scenario.seed, 3),
      random_(scenario.seed) {
  options_.fake_models = true;
  options_.profile = scenario.profile;
  options_.parallel = scenario.streams;
  options_.context_tokens = scenario.cells;
  options_.threads = 1;
  options_.queue_requests_max = scenario.queue_max;
  options_.spill_bytes = scenario.spill_bytes;
  options_.prefix_bytes = scenario.prefix_bytes;
  options_.overcommit = scenario.overcommit;
  options_.speculation = scenario.speculation;
  options_.prefill_chunk_tokens_max = scenario.chunk_tokens;
  Dice residence(scenario.seed, 140);  // models park when nobody has asked for them in a while
  if (residence.percent(50)) {
    options_.keep_alive = std::chrono::seconds(residence.between(0, 3));
    options_.warm_keep_alive = std::chrono::seconds(residence.between(0, 20));
  }
  options_.workers_max = scenario.workers_max;
  options_.memory_max = scenario.memory_max;
  options_.memory.state = []() -> Result<os::MemoryState> {
    return os::MemoryState{kMachineBytes, kMachineBytes, std::nullopt, std::nullopt};
  };
  options_.memory.of_process = [](int) -> Result<os::ProcessMemory> {
    return Error{Code::kNotFound, "actors are no processes"};
  };
  options_.memory.pressure = [] { return os::Pressure{}; };
  options_.load_timeout = std::chrono::seconds(60);
  make_models();
  open_ledger();
  make_runtime();
  tick();
}

Plant::~Plant() {
  supervisor_.reset();  // with its links
  custodian_.reset();
  hasher_.reset();
}

void Plant::make_models() {
  for (std::uint32_t i = 0; i < scenario_.models; ++i) {
    models_.push_back(model_file(i));
    set_time(models_.back().get(), kModelTime);
  }
}

void Plant::open_ledger() {
  ledger::InitOptions init;
  init.directory = kLedger;
  init.origin = "simulator.test/ledger";
  init.boot_id.emplace();
  const auto identity = ledger::init(disk_, world_, random_, init);
  ASSERT(identity.has_value());
  verifier_key_ = identity->verifier_key;
  ledger::OpenOptions open;
  open.directory = kLedger;
  open.boot_id.emplace();
  open.drive = Drive::kByHand;
  open.reserve_bytes = kReserveBytes;
  open.segment_bytes_max = dice_.percent(50) ? 20'000 : 256ULL << 20;
  auto opened = ledger::Ledger::open(faulty_, world_, random_, open);
  ASSERT(opened.has_value());
  ledger_ = std::move(*opened);
  auto taken = ledger::Custody::open(faulty_, world_, random_, *ledger_, custody_options());
  ASSERT(taken.has_value());
  custody_ = std::move(*taken);
}

void Plant::make_runtime() {
  const std::uint32_t streams_max = options_.queue_requests_max + kRunningMax;
  runtime::Catalogue catalogue;
  for (std::uint32_t i = 0; i < scenario_.models; ++i) {
    runtime::CatalogueEntry entry;
    entry.name = model_name(i);
    entry.engine = "fake";
    entry.paths = {"/proc/self/fd/" + std::to_string(models_[i].get())};
    catalogue.models[entry.name] = entry;
  }
  view_ = std::make_unique<runtime::ModelView>();
  view_->set_catalogue(catalogue);
  hashes_ = std::make_unique<runtime::HashCache>(faulty_, "");
  tally_ = std::make_shared<runtime::Tally>(world_);
  desk_ = std::make_shared<runtime::StreamDesk>(
      streams_max, runtime::task_queue_capacity(streams_max, options_.workers_max), metrics_,
      tally_);
  hasher_ = std::make_unique<runtime::Hasher>(model_files_, *hashes_, world_, Drive::kByHand);
  custodian_ = std::make_unique<runtime::Custodian>(*custody_, streams_max, Drive::kByHand);
  planner_ = std::make_unique<FixedPlanner>(world_, dice_, models_);
  supervisor_ = std::make_unique<runtime::Supervisor>(
      runtime::SupervisorParts{
          options_, model_files_, world_, *ledger_, metrics_, *hasher_, *view_, *tally_, desk_,
          streams_max,
          [this](const runtime::LinkOptions& options, runtime::WorkerLink::OnEvent on_event) {
            return start_link(options, std::move(on_event));
          },
          planner_.get()},
      std::move(catalogue));
  desk_->post([](runtime::Supervisor& supervisor) { supervisor.binary_hashed(Digest{7}); });
}

Result<std::unique_ptr<runtime::WorkerLink>> Plant::start_link(
    const runtime::LinkOptions& options, runtime::WorkerLink::OnEvent on_event) {
  world_.note("starts worker " + std::to_string(options.number) + " of " + options.model);
  const auto load = std::exchange(next_load_, WorkerActor::Load::kGood);
  auto actor =
      std::make_shared<WorkerActor>(WorkerActor::Parts{world_, watch_, scenario_}, options, load);
  workers_[options.number] = actor;
  auto link = runtime::WorkerLink::by_hand(
      options, std::make_unique<Peer>(*this, actor),
      [this, tell = std::move(on_event)](runtime::LinkEvent event) {
        const auto* ended = std::get_if<runtime::LinkEnded>(&event);
        if (ended != nullptr && ended->error.message.find("protocol") != std::string::npos) {
          world_.violated("protocol: " + ended->error.message);
        }
        if (const auto* lost = std::get_if<runtime::LinkLost>(&event)) {
          for (const auto& stream : lost->survivors) watch_.survived(stream->id());
        }
        tell(std::move(event));
      });
  links_[options.number] = link.get();
  actor->begin(link.get());
  return link;
}

// ---- the door -----------------------------------------------------------------------------------

Result<std::shared_ptr<runtime::StreamState>> Plant::submit(const ClientPlan& plan) {
  const ledger::Health health = ledger_->health();
  if (!health.writable) return Error{Code::kLedgerUnavailable, health.reason};
  runtime::GenerateCall call;
  call.principal.tenant = plan.tenant;
  call.principal.user = plan.user;
  call.principal.source = "local";
  call.model = plan.model;
  call.request = plan.request;
  call.request.id = ++last_id_;
  call.request.credit_bytes = runtime::kCreditBytes;
  const std::string turn = runtime::turn_name(call.principal);
  call.request.tenant = runtime::tenant_number(turn);
  call.seed_given = true;
  call.endpoint = "/v1/chat/completions";
  call.streaming = plan.reader != Reader::kCollects;
  const std::size_t bytes = ipc::encode(ipc::ToWorker{call.request}).size();
  if (!desk_->enter(bytes)) return Error{Code::kBusy, "too many requests are waiting"};
  desk_->tenants().enter(turn, 0);
  watch_.admitted(last_id_, plan);
  runtime::StreamSetup setup;
  setup.call = std::move(call);
  setup.request_id = "req_" + std::to_string(last_id_);
  setup.profile = scenario_.profile;
  setup.sealed = scenario_.sealed;
  setup.frame_bytes = bytes;
  setup.erasures = desk_->erasures();
  auto stream = std::make_shared<runtime::StreamState>(std::move(setup), *ledger_, *custodian_,
                                                       world_, desk_);
  ASSERT(hand_on(stream, bytes));
  return stream;
}

bool Plant::hand_on(const std::shared_ptr<runtime::StreamState>& stream, std::size_t bytes) {
  const ledger::SubjectName name = runtime::subject_name(stream->principal());
  if (ledger::SubjectPtr known = custody_->find(name)) {
    stream->belongs_to(std::move(known));
    desk_->post([stream, bytes](runtime::Supervisor& to) { to.submit(stream, bytes); });
    return true;
  }
  return custodian_->post([this, stream, bytes, name](ledger::Custody& custody) {
    auto subject = custody.obtain(name);
    if (subject) {
      stream->belongs_to(std::move(*subject));
      desk_->post([stream, bytes](runtime::Supervisor& to) { to.submit(stream, bytes); });
      return;
    }
    const Error error{Code::kLedgerUnavailable, subject.error().message};
    desk_->post(
        [stream, bytes, error](runtime::Supervisor& to) { to.turn_away(stream, bytes, error); });
  });
}

// ---- turns --------------------------------------------------------------------------------------

void Plant::settle() {
  const auto arm = [this](bool& armed, bool has_work, std::int64_t delay, auto turn) {
    if (!has_work || std::exchange(armed, true)) return;
    world_.after(delay, [&armed, turn] {
      armed = false;
      turn();
    });
  };
  arm(supervisor_armed_, desk_->tasks().size() > 0, dice_.between(1, 200) * kMicro,
      [this] { supervisor_->run_pending(); });
  const bool slow = world_.now() < disk_slow_until_;
  const std::int64_t sync = dice_.between(50, dice_.percent(10) ? 30'000 : 3'000) * kMicro;
  arm(ledger_armed_, ledger_->queued() > 0, slow ? 100 * sync : sync, [this] { turn_of_ledger(); });
  arm(custodian_armed_, custodian_->queued() > 0, slow ? 100 * sync : sync,
      [this] { custodian_->run_pending(); });
  arm(hasher_armed_, hasher_->queued() > 0, dice_.between(1, 300) * kMilli,
      [this] { hasher_->run_pending(); });
  for (const auto& [number, link] : links_) {
    if (link->has_outgoing()) workers_.at(number)->flush_soon();
  }
}

void Plant::turn_of_ledger() {
  const std::uint64_t before = ledger_->health().size;
  ledger_->run_pending();
  const std::uint64_t after = ledger_->health().size;
  if (after != before) world_.note("ledger has " + std::to_string(after) + " records");
}

// What the threads do when nothing comes: the supervisor's second, the ledger's idle look.
void Plant::tick() {
  world_.after(kTickEvery, [this] { tick(); });
  supervisor_->run_pending();
  if (world_.now() / kTickEvery % 5 == 0) turn_of_ledger();
}

// ---- trouble ------------------------------------------------------------------------------------

WorkerActor* Plant::some_worker() {
  std::vector<WorkerActor*> living;
  for (const auto& [number, worker] : workers_) {
    if (worker->lives()) living.push_back(worker.get());
  }
  return living.empty() ? nullptr : living[dice_.below(living.size())];
}

void Plant::trouble(const TroublePlan& plan) {
  const auto space = [this, &plan](std::uint64_t bytes) {
    faulty_.set_bytes_available(bytes);
    world_.after(plan.lasts_ns, [this] { faulty_.set_bytes_available(std::nullopt); });
  };
  world_.note("trouble " + std::to_string(static_cast<int>(plan.what)));
  WorkerActor* const worker = some_worker();
  switch (plan.what) {
    case Trouble::kKill:
      if (worker != nullptr) (void)worker->send_signal(SIGKILL);
      break;
    case Trouble::kCrash:
      if (worker != nullptr) worker->crash();
      break;
    case Trouble::kHang:
      if (worker != nullptr) worker->hang();
      break;
    case Trouble::kStall:
      if (worker != nullptr) worker->stall(plan.lasts_ns * 20);
      break;
    case Trouble::kSlowDisk:
      disk_slow_until_ = world_.now() + plan.lasts_ns;
      break;
    case Trouble::kLowSpace:
      space(kReserveBytes / 2);
      break;
    case Trouble::kNoSpace:
      space(kReserveBytes / 100);
      break;
    case Trouble::kFileChanged:
      set_time(models_[dice_.below(models_.size())].get(), kModelTime + world_.now() / kSecond);
      break;
    case Trouble::kWallClock:
      world_.wall_jump_ns += dice_.between(-600, 600) * kSecond;
      break;
    case Trouble::kBadLoad:
      next_load_ = dice_.percent(50) ? WorkerActor::Load::kFails : WorkerActor::Load::kDies;
      break;
  }
}

void Plant::kill_disk() {
  world_.note("the disk dies");
  disk_dead_ = true;
  disk_.stop_after(dice_.below(6));
}

// ---- the end ------------------------------------------------------------------------------------

void Plant::abort_all() {
  world_.note("shuts down");
  desk_->post([](runtime::Supervisor& supervisor) {
    supervisor.abort_all({Code::kShuttingDown, "the gateway is stopping"});
  });
}

void Plant::begin_stopping() {
  stopped_ = std::make_shared<runtime::Answer<runtime::Supervisor::Stopped>>();
  desk_->post(
      [answer = stopped_](runtime::Supervisor& supervisor) { supervisor.stop_all(answer); });
}

bool Plant::has_stopped() const {
  return stopped_ != nullptr && stopped_->wait_for(std::chrono::milliseconds(0)).has_value();
}

std::string Plant::imbalance() {
  if (desk_->streams() != 0) return std::to_string(desk_->streams()) + " streams at the desk";
  // There is room for all bytes that prompts may take exactly if they take none.
  if (!desk_->enter(runtime::kPromptBytesTotalMax)) return "bytes of prompts at the desk";
  desk_->leave(runtime::kPromptBytesTotalMax);
  for (const auto& [number, worker] : workers_) {
    if (!worker->is_settled()) {
      return "something of a request in worker " + std::to_string(number);
    }
  }
  for (const auto& [number, link] : links_) {
    if (link->outstanding() != 0) return "requests in the link of worker " + std::to_string(number);
    const ipc::Stats stats = link->stats();
    if (stats.spilled != 0 || stats.spilled_bytes != 0 || stats.queued != 0) {
      return "requests in what worker " + std::to_string(number) + " says of itself";
    }
  }
  return "";
}

void Plant::close() {
  if (const std::uint64_t left = supervisor_->bytes_of_workers(); left > 0) {
    world_.violated("balance: workers that have ended have " + std::to_string(left) + " bytes");
  }
  const auto stopped = stopped_->wait_for(std::chrono::milliseconds(0));
  for (const std::uint64_t record : (*stopped)->engine_records) {
    (void)ledger_->append_and_wait(ledger::RecordType::kEngineStop,
                                   runtime::records::engine_stop(record, "shutdown"));
  }
  tally_->flush(*ledger_);
  const Status closed = ledger_->close();
  while (desk_->tasks().size() > 0) supervisor_->run_pending();
  if (!closed && !disk_dead_)
    world_.violated("the ledger cannot be closed: " + closed.error().message);
}

// The ledger may refuse what it has no room for.
bool Plant::request_records_may_lack() const {
  return disk_dead_ || scenario_.has(Trouble::kNoSpace);
}

}  // namespace aioss::sim
