// The gateway's door: checks what can be checked at once, and leaves the rest to the runtime
// thread.
#include "runtime/gateway.h"

#include <atomic>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

#include "base/log.h"
#include "base/strings.h"
#include "codec/hex.h"
#include "ledger/format/commitment.h"
#include "runtime/calls/answer.h"
#include "runtime/calls/stopping.h"
#include "runtime/catalogue/adapter_copier.h"
#include "runtime/catalogue/catalogue_keeper.h"
#include "runtime/catalogue/engine_reload.h"
#include "runtime/catalogue/hash_cache.h"
#include "runtime/catalogue/hasher.h"
#include "runtime/intake.h"
#include "runtime/model_orders.h"
#include "runtime/models/model_view.h"
#include "runtime/planning/planning.h"
#include "runtime/planning/tuning_plan.h"
#include "runtime/records/budget.h"
#include "runtime/records/records.h"
#include "runtime/records/salts.h"
#include "runtime/records/tally.h"
#include "runtime/requests/request_checks.h"
#include "runtime/stream_desk.h"
#include "runtime/streams/custodian.h"
#include "runtime/supervisor.h"
#include "runtime/tuning/tuner.h"

namespace aioss::runtime {
namespace {

// Streams beside those that the worker's queue holds: running ones, and ends that are being
// recorded. More than the KV streams of any worker (ipc::kStreamsMax).
constexpr std::uint32_t kRunningMax = 512;
constexpr std::size_t kAdapterJobsPerWorker = 2;  // its own, and one of the worker before it
constexpr auto kProgressStep = std::chrono::milliseconds(100);
constexpr auto kAbortWait = std::chrono::seconds(10);  // for the records of ends: a slow disk
constexpr auto kSaveWait = std::chrono::seconds(10);   // for prefixes on their way to the disk
constexpr auto kStopWait = std::chrono::seconds(15);   // the worker's graces and its last records

// That a request may cause; each adapter may have to be loaded, and another one to go for it.
std::uint32_t records_of(const GenerateCall& call) {
  return kRecordsPerRequest + 2 * static_cast<std::uint32_t>(call.adapters.size());
}

// Writes CONFIG_CHANGE for what holds from now on, and waits for it. `change` says the rest: the
// commitment is added, and without names, all of them.
Result<std::uint64_t> record_configuration(const GatewayOptions& options, crypto::Random& random,
                                           ledger::Ledger& ledger, records::ConfigChange change) {
  records::Configuration effective = records::canonical_configuration(options);
  change.commitment = ledger::commit(random, effective.text);
  if (change.keys.empty()) change.keys = std::move(effective.keys);
  AIOSS_TRY(
      const ledger::Committed committed,
      ledger.append_and_wait(ledger::RecordType::kConfigChange, records::config_change(change)));
  return committed.index;
}

struct Parts {  // all outlive the gateway
  os::FileSystem& fs;
  const Clock& clock;
  crypto::Random& random;
  ledger::Ledger& ledger;
  ledger::Custody& custody;
  MetricRegistry& metrics;
};

class GatewayImpl final : public Gateway {
 public:
  GatewayImpl(const GatewayOptions& options, const Parts& parts, std::uint64_t config_record,
              const Catalogue& catalogue);
  ~GatewayImpl() override {
    shut_down(std::chrono::milliseconds(0));
    tally_->flush(ledger_);  // what came after
  }

  Result<std::shared_ptr<Stream>> submit(GenerateCall call) override;
  std::vector<ModelEntry> models() const override { return view_.entries(); }
  std::string resolve(const std::string& name) const override { return view_.resolve(name); }
  Status rescan(const Principal& by) override;
  Result<ModelEntry> load(const std::string& model,
                          const std::function<void(float)>& progress) override;
  Result<ModelEntry> order(const ModelOrder& order) override;
  Result<ModelEntry> order_engine(const EngineOrder& order) override;
  GatewayHealth health() const override;
  std::vector<ModelLoad> queue() const override;
  MemoryReport memory() const override { return view_.memory(); }
  std::vector<std::shared_ptr<const plugins::EngineImage>> engines() const override {
    if (!options_.engines) return {};
    return options_.engines->all();
  }
  Result<ipc::ProbeReport> probe(const std::string& model) override;
  Status change_configuration(const ConfigurationChange& change) override;
  Result<PlanAnswer> plan(const PlanCall& call) override {
    AIOSS_CHECK(check_open());
    PlanCall real = call;
    real.model = view_.resolve(call.model);
    return planning_.answer(real);
  }
  Status spend(const Principal& by) override { return spend(by.tenant, 1); }
  Result<Reviewed> review(const ReviewCall& call) override;
  void note_stranger(std::string_view auth_reason) override { tally_->refused(auth_reason); }
  void note_refusal(Code code) override { note_refused(code, ""); }
  void shut_down(std::chrono::milliseconds drain) override;
  Status left_behind() const override;
  Status forget_prefixes() override;
  ledger::Custody* custody() override { return &custody_; }

 private:
  std::uint32_t streams_max() const { return options_.queue_requests_max + kRunningMax; }
  Status post(Task task);
  Status check_open() const;
  Status check_model(const std::string& model) const;
  void note_refused(Code code, const std::string& model);
  Status spend(const std::string& tenant, std::uint32_t record_count);
  Status record_action(records::AdminAction action, const std::vector<std::string>& details);
  void remember_hashes(const Catalogue& catalogue);
  Status reload_engines(const Principal& by);
  Status take_up(const Principal& by, const Result<Catalogue>& scanned,
                 const std::vector<std::string>& details);
  void stop_workers();
  void stop_engines(const Supervisor::Stopped& stopped);
  void leave_behind(const std::string& what);  // with shut_down_mutex_ held

  const GatewayOptions options_;
  os::FileSystem& fs_;
  const Clock& clock_;
  crypto::Random& random_;
  ledger::Ledger& ledger_;
  ledger::Custody& custody_;
  ModelView view_;
  HashCache hashes_;
  EngineChoices engine_choices_;
  const std::shared_ptr<Tally> tally_;
  RecordBudget budget_;
  std::shared_ptr<StreamDesk> desk_;
  std::atomic<bool> stopping_{false};
  mutable std::mutex shut_down_mutex_;
  bool is_shut_down_ = false;  // guarded by shut_down_mutex_
  std::string left_behind_;    // guarded by shut_down_mutex_; "": nothing
  std::mutex engines_mutex_;   // held while the engine directory is read and taken up
  std::mutex configuration_mutex_;
  GatewayOptions configuration_;              // guarded by configuration_mutex_; the effective one
  std::atomic<std::uint64_t> config_record_;  // of the newest CONFIG_CHANGE

  // Last, so that their threads end before anything else goes.
  PlanStore plan_store_;
  ChildPlanner planner_;
  TuningStore tuning_store_;
  Tuner tuner_;
  const Planning planning_;
  Hasher hasher_;
  AdapterCopier adapter_copier_;
  Custodian custodian_;
  Intake intake_;
  const std::unique_ptr<PrefixDisk> prefix_disk_;  // null: none
  Supervisor supervisor_;
  std::thread runtime_;
  CatalogueKeeper keeper_;
};

// Nothing is measured where nothing is to be.
TuningStore* read(TuningStore& store, const GatewayOptions& options) {
  if (!options.tune) return nullptr;
  store.read();
  return &store;
}

GatewayImpl::GatewayImpl(const GatewayOptions& options, const Parts& parts,
                         std::uint64_t config_record, const Catalogue& catalogue)
    : options_(options),
      fs_(parts.fs),
      clock_(parts.clock),
      random_(parts.random),
      ledger_(parts.ledger),
      custody_(parts.custody),
      hashes_(fs_, options.state_dir),
      engine_choices_(fs_, options.state_dir),
      tally_(std::make_shared<Tally>(clock_)),
      budget_(clock_, options.record_rate, options.record_burst),
      desk_(std::make_shared<StreamDesk>(streams_max(),
                                         task_queue_capacity(streams_max(), options.workers_max),
                                         parts.metrics, tally_)),
      configuration_(options),
      config_record_(config_record),
      plan_store_(fs_, options.state_dir, options.worker_executable),
      planner_(planner_options(options), clock_, &plan_store_),
      tuning_store_(fs_, options.state_dir, options.worker_executable),
      tuner_({options.worker_executable, options.engines}, clock_, tuning_store_),
      planning_({fs_, options_, planner_, [] { return os::memory_state(); },
                 [this] { return view_.memory(); }, &engine_choices_, &tuning_store_}),
      hasher_(fs_, hashes_, clock_),
      adapter_copier_(fs_, kAdapterJobsPerWorker * options.workers_max),
      custodian_(custody_, streams_max()),
      intake_(
          {options_, clock_, random_, ledger_, custody_, custodian_, view_, config_record_, desk_}),
      prefix_disk_(
          open_prefix_disk(custody_, clock_, options.prefix_disk_bytes, options.workers_max)),
      supervisor_(
          {options_, fs_, clock_, ledger_, parts.metrics, hasher_, view_, *tally_, desk_,
           streams_max(), &WorkerLink::start, options_.planner ? options_.planner.get() : &planner_,
           prefix_disk_.get(), &adapter_copier_,
           [this](GenerateCall call) -> Result<ipc::RequestId> {
             AIOSS_TRY(const auto stream, intake_.begin(std::move(call)));
             return stream->id();
           },
           &engine_choices_, &tuner_, read(tuning_store_, options_)},
          catalogue),
      keeper_(fs_, clock_, catalogue_options(options_), catalogue,
              [this](const Principal& by, const auto& scanned, const auto& details) {
                return take_up(by, scanned, details);
              }) {
  Catalogue chosen = catalogue;
  engine_choices_.apply(chosen);
  apply_tunings(tuning_store_, options_, chosen);
  view_.set_catalogue(chosen);
  for (const auto& [name, entry] : chosen.models) {
    const auto choice = engine_choices_.of(name);
    view_.set_engine(name, {wanted_of(entry, options_).engine, "", choice && choice->pinned});
  }
  remember_hashes(catalogue);
  hasher_.hash_executable(options.worker_executable, [desk = desk_](Result<Digest> digest) {
    desk->post([digest](Supervisor& supervisor) { supervisor.binary_hashed(digest); });
  });
  desk_->post([](Supervisor& supervisor) { supervisor.preload(); });
  runtime_ = std::thread([this] { supervisor_.run(); });
  if (options_.watch_models) keeper_.start_watch();
}

// What is known of files that were hashed before, for the list of models.
void GatewayImpl::remember_hashes(const Catalogue& catalogue) {
  for (const auto& [name, entry] : catalogue.models) {
    if (entry.parts.size() != 1) continue;
    if (const auto digest = hashes_.find(entry.parts.front())) {
      view_.set_sha256(name, codec::to_hex(*digest));
    }
  }
}

Status GatewayImpl::post(Task task) {
  if (desk_->tasks().try_push(std::move(task)) == TaskQueue::Push::kAccepted) return ok();
  return Error{Code::kBusy, "the gateway is busy; try again later"};
}

Status GatewayImpl::check_open() const {
  if (stopping_.load()) return gateway_stopping();
  const ledger::Health health = ledger_.health();
  if (!health.writable) return Error{Code::kLedgerUnavailable, health.reason};
  return ok();
}

Status GatewayImpl::check_model(const std::string& model) const {
  if (is_model_name(model) && view_.contains(model)) return ok();
  return Error{Code::kNotFound,
               "there is no model '" +
                   one_line(replace_invalid_utf8(model.substr(0, kModelNameBytesMax))) +
                   "'; GET /v1/models lists those there are",
               "model"};
}

// A ledger that is shut takes no record of it, and everybody is told so.
void GatewayImpl::note_refused(Code code, const std::string& model) {
  if (code == Code::kLedgerUnavailable) return;
  namespace kind = ledger::decision_kind;
  records::Decision decision{std::string(kind::kAdmission),
                             std::string(ledger::decision_outcome::kRefused),
                             std::string(info(code).name), "", ""};
  if (view_.contains(model)) decision.model = model;  // never a text of the caller
  tally_->decided(std::move(decision));
}

Status GatewayImpl::spend(const std::string& tenant, std::uint32_t record_count) {
  if (budget_.take(tenant, record_count)) return ok();
  tally_->decided({std::string(ledger::decision_kind::kBudget),
                   std::string(ledger::decision_outcome::kRefused), "record_budget", "", tenant});
  return Error{Code::kBusy, "the tenant '" + tenant + "' is over its budget of " +
                                std::to_string(budget_.rate()) +
                                " ledger records a second; try again in a moment"};
}

Result<std::shared_ptr<Stream>> GatewayImpl::submit(GenerateCall call) {
  call.model = view_.resolve(call.model);
  const std::string model = call.model;
  Status fit = check_open();
  if (fit) fit = check_model(model);
  if (fit && !call.adapters.empty()) {
    fit = check_adapters(call, view_.entry(model).value_or(ModelEntry{}), options_.profile);
  }
  if (fit) AIOSS_CHECK(spend(call.principal.tenant, records_of(call)));
  auto stream = fit ? intake_.begin(std::move(call)) : std::move(fit).error();
  if (stream) return std::static_pointer_cast<Stream>(*stream);
  note_refused(stream.error().code, model);
  return std::move(stream).error();
}

std::vector<ModelLoad> GatewayImpl::queue() const {
  std::vector<ModelLoad> loads = view_.loads();
  const auto names = desk_->tenants().names();
  for (ModelLoad& load : loads) {
    for (TenantRequests& tenant : load.tenants) {
      const auto found = names.find(tenant.number);  // "" if it has no requests any more
      if (found != names.end()) tenant.name = found->second;
    }
  }
  return loads;
}

Status GatewayImpl::record_action(records::AdminAction action,
                                  const std::vector<std::string>& details) {
  if (action.by) AIOSS_CHECK(identify(custody_, *action.by));
  for (codec::Map& body : records::admin_action(action, details)) {
    AIOSS_CHECK(ledger_.append_and_wait(ledger::RecordType::kAdminAction, std::move(body)));
  }
  return ok();
}

Status GatewayImpl::rescan(const Principal& by) {
  AIOSS_CHECK(check_open());
  if (by.source != kSignalSource) AIOSS_CHECK(spend(by.tenant, 1));
  AIOSS_CHECK(reload_engines(by));
  return keeper_.rescan(by);
}

// Before the models are judged anew, which may be computed with them.
Status GatewayImpl::reload_engines(const Principal& by) {
  if (!options_.read_engines || !options_.engines) return ok();
  std::lock_guard lock(engines_mutex_);  // or an order beside a signal puts older files back
  AIOSS_TRY(const std::vector<plugins::EngineImage> installed, options_.read_engines());
  const EngineChanges changes = engine_changes(*options_.engines, installed);
  if (changes.details.empty()) return ok();
  namespace name = ledger::admin_action_name;
  AIOSS_CHECK(record_action({std::string(name::kEnginesChanged), "done", by, {}}, changes.details));
  runtime::take_up(changes, *options_.engines);
  if (!changes.put.empty() && options_.device != "cpu") {
    log::info(
        "engines were added or changed: devices that only they reach are used from the "
        "server's next start on");
  }
  return ok();
}

// One at a time: see CatalogueKeeper.
Status GatewayImpl::take_up(const Principal& by, const Result<Catalogue>& scanned,
                            const std::vector<std::string>& details) {
  AIOSS_CHECK(check_open());
  records::AdminAction action{std::string(ledger::admin_action_name::kRescan), "done", by, {}};
  if (!scanned) action.outcome = info(scanned.error().code).name;
  AIOSS_CHECK(record_action(action, details));
  if (!scanned) return scanned.error();
  for (const std::string& notice : scanned->notices) log::warn(notice);
  auto answer = std::make_shared<Answer<bool>>();
  AIOSS_CHECK(post([catalogue = *scanned, answer](Supervisor& supervisor) {
    supervisor.replace_catalogue(catalogue, answer);
  }));
  if (!answer->wait_for(kAnswerWait)) {
    return Error{Code::kTimeout, "the gateway did not take the new list of models in time"};
  }
  remember_hashes(*scanned);
  return ok();
}

Status GatewayImpl::forget_prefixes() {
  desk_->count_erasure();  // first: what comes now is somebody's who has not been erased
  auto answer = std::make_shared<Answer<bool>>();
  AIOSS_CHECK(post([answer](Supervisor& supervisor) {
    supervisor.forget_prefixes();
    answer->give(true);
  }));
  if (answer->wait_for(kAnswerWait)) return ok();
  return Error{Code::kTimeout, "the workers were not told in time to forget what was asked"};
}

Result<ModelEntry> GatewayImpl::load(const std::string& name,
                                     const std::function<void(float)>& progress) {
  AIOSS_CHECK(check_open());
  const std::string model = view_.resolve(name);
  if (!view_.contains(model)) {
    return Error{Code::kNotFound, "there is no model '" + one_line(model) + "'", "model"};
  }
  auto answer = std::make_shared<Answer<ModelEntry>>();
  AIOSS_CHECK(post([model, answer](Supervisor& supervisor) { supervisor.load(model, answer); }));
  // The supervisor keeps the deadline of a load; twice, because a stopping worker may come before
  // it.
  const auto deadline = 2 * options_.load_timeout + kStopWait;
  for (std::chrono::milliseconds waited(0); waited < deadline; waited += kProgressStep) {
    if (auto result = answer->wait_for(kProgressStep)) {
      if (*result && progress) progress(1.0F);
      return std::move(*result);
    }
    const auto entry = view_.entry(model);
    if (entry && progress) progress(entry->load_fraction);
  }
  return Error{Code::kTimeout, "model '" + model + "' was not loaded in time"};
}

Result<ModelEntry> GatewayImpl::order(const ModelOrder& order) {
  AIOSS_CHECK(check_open());
  ModelOrder real = order;
  real.model = view_.resolve(order.model);
  AIOSS_CHECK(check_model(real.model));
  AIOSS_CHECK(spend(order.by.tenant, 1));
  return take_order(real, view_, *desk_, [this](auto action, const auto& details) {
    return record_action(action, details);
  });
}

Result<ModelEntry> GatewayImpl::order_engine(const EngineOrder& order) {
  AIOSS_CHECK(check_open());
  EngineOrder real = order;
  real.model = view_.resolve(order.model);
  const bool unpins = order.what == EngineOrder::What::kUnpin && engine_choices_.of(real.model);
  if (!unpins) AIOSS_CHECK(check_model(real.model));  // a pin outlives its model's file
  if (!real.engine.empty() && !is_model_name(real.engine)) {
    return Error{Code::kInvalidArgument, "that is not the name of an engine", "engine"};
  }
  AIOSS_CHECK(spend(order.by.tenant, 1));
  return take_order(real, *desk_, [this](auto action, const auto& details) {
    return record_action(action, details);
  });
}

GatewayHealth GatewayImpl::health() const {
  GatewayHealth health;
  health.ledger = ledger_.health();
  const ModelView::Totals totals = view_.totals();
  health.workers = totals.workers;
  health.running = totals.running;
  health.queued = totals.queued;
  health.confinement = totals.confinement;
  health.notices = view_.notices();
  health.loads = view_.loads();
  const Status open = check_open();
  health.ok = open.has_value();
  if (!open) health.reason = open.error().message;
  return health;
}

Status GatewayImpl::change_configuration(const ConfigurationChange& change) {
  std::lock_guard lock(configuration_mutex_);
  GatewayOptions changed = configuration_;
  std::erase_if(changed.configuration, [&](const auto& one) { return one.first == change.name; });
  changed.configuration.emplace_back(change.name, change.value);
  AIOSS_TRY(const std::uint64_t record,
            record_configuration(changed, random_, ledger_,
                                 {{}, {change.name}, config_record_.load(), change.reason}));
  if (!change.details.empty()) {
    AIOSS_CHECK(record_action({change.action, "done", std::nullopt, record}, change.details));
  }
  configuration_ = std::move(changed);
  config_record_.store(record);
  return ok();
}

Result<Reviewed> GatewayImpl::review(const ReviewCall& call) {
  AIOSS_CHECK(check_open());
  AIOSS_CHECK(check_review(call));
  AIOSS_CHECK(spend(call.by.tenant, 1));
  ReviewCall named = call;
  AIOSS_CHECK(identify(custody_, named.by));
  return runtime::review(random_, ledger_, named);
}

Result<ipc::ProbeReport> GatewayImpl::probe(const std::string& model) {
  AIOSS_CHECK(load(model, nullptr).has_value() ? ok() : check_open());
  auto answer = std::make_shared<Answer<ipc::ProbeReport>>();
  AIOSS_CHECK(post([model, answer](Supervisor& supervisor) { supervisor.probe(model, answer); }));
  if (auto result = answer->wait_for(kAnswerWait)) return std::move(*result);
  return Error{Code::kTimeout, "the worker did not report in time"};
}

void GatewayImpl::stop_workers() {
  auto stopped = std::make_shared<Answer<Supervisor::Stopped>>();
  desk_->post([stopped](Supervisor& supervisor) { supervisor.stop_all(stopped); });
  const auto result = stopped->wait_for(kStopWait);
  if (!result || !*result) {
    log::error("workers did not stop in time; they are killed");
    leave_behind("workers, or the records of their ends, that took too long");
    return;
  }
  stop_engines(**result);
}

void GatewayImpl::stop_engines(const Supervisor::Stopped& stopped) {
  std::size_t lost = stopped.records_lost;
  for (const std::uint64_t record : stopped.engine_records) {
    const auto recorded = ledger_.append_and_wait(ledger::RecordType::kEngineStop,
                                                  records::engine_stop(record, "shutdown"));
    if (recorded) continue;
    ++lost;
    log::error("ENGINE_STOP is not recorded", {{"reason", recorded.error().message}});
  }
  if (lost > 0) leave_behind(std::to_string(lost) + " unwritten records of models and engines");
}

void GatewayImpl::leave_behind(const std::string& what) {
  left_behind_ += (left_behind_.empty() ? "" : ", ") + what;
}

Status GatewayImpl::left_behind() const {
  std::lock_guard lock(shut_down_mutex_);
  if (left_behind_.empty()) return ok();
  return Error{Code::kTimeout, "the shutdown left behind: " + left_behind_ +
                                   "; the ledger recovers at the next start"};
}

void GatewayImpl::shut_down(std::chrono::milliseconds drain) {
  stopping_.store(true);
  std::lock_guard lock(shut_down_mutex_);
  if (is_shut_down_) return;
  is_shut_down_ = true;
  keeper_.stop();
  planner_.stop();
  tuner_.stop();
  if (!desk_->wait_until_empty(drain)) {
    desk_->post([](Supervisor& supervisor) { supervisor.abort_all(gateway_stopping()); });
    if (!desk_->wait_until_empty(kAbortWait)) {
      const std::uint32_t streams = desk_->streams();
      log::error("requests are left without a recorded end", {{"requests", streams}});
      leave_behind(std::to_string(streams) + " requests without a recorded end");
    }
  }
  stop_workers();
  if (prefix_disk_) prefix_disk_->finish(kSaveWait);
  desk_->tasks().close();
  runtime_.join();
  tally_->flush(ledger_);
}

}  // namespace

Result<std::unique_ptr<Gateway>> Gateway::create(const GatewayOptions& options, os::FileSystem& fs,
                                                 const Clock& clock, crypto::Random& random,
                                                 ledger::Ledger& ledger, ledger::Custody& custody,
                                                 MetricRegistry& metrics) {
  if (options.workers_max == 0 || options.queue_requests_max == 0) {
    return Error{Code::kUsage, "the numbers of workers and of queued requests must be at least 1"};
  }
  const bool bad_budget =
      options.record_rate > kRecordRateMax || options.record_burst < kRecordsPerRequest;
  if (options.record_rate != 0 && bad_budget) {
    return Error{Code::kUsage, "the budget of records must hold one request and be at most " +
                                   std::to_string(kRecordRateMax) + " a second"};
  }
  AIOSS_CHECK(check_residence(options));
  AIOSS_TRY(Catalogue catalogue, scan_catalogue(fs, catalogue_options(options)));
  for (const std::string& notice : catalogue.notices) log::warn(notice);
  AIOSS_TRY(const std::uint64_t config_record, record_configuration(options, random, ledger, {}));
  return std::make_unique<GatewayImpl>(options, Parts{fs, clock, random, ledger, custody, metrics},
                                       config_record, catalogue);
}

}  // namespace aioss::runtime
