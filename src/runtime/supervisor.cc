#include "runtime/supervisor.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "ipc/limits.h"
#include "os/cpu.h"
#include "os/thread.h"
#include "runtime/calls/stopping.h"
#include "runtime/models/decide.h"
#include "runtime/planning/planning.h"
#include "runtime/planning/tuning_plan.h"

namespace aioss::runtime {
namespace {

// A stream posts its submission, its end, "stop the worker" for up to three reasons, and that its
// consumer has read on.
constexpr std::size_t kTasksPerStream = 7;
// A worker posts five events, its hash, that its prefixes are there, and the fates of three
// records; UPDATE is a fourth. Of adapters: a copy, a report, the fate of a load's record, and of
// each one's end.
constexpr std::size_t kTasksPerWorker = 12 + 3 + ipc::kAdaptersLoadedMax;
// Stopping workers stay beside their successors for a moment.
constexpr std::size_t kGenerations = 2;

constexpr auto kTickIdle = std::chrono::milliseconds(1000);
constexpr auto kTickBusy = std::chrono::milliseconds(50);  // while something loads or stops
// Models that are unloaded keep what was computed for them as long as this many times the loaded
// ones have not come after them.
constexpr std::size_t kPrefixGenerations = 2;

Post post(std::shared_ptr<StreamDesk> desk) {
  return [desk = std::move(desk)](std::function<void()> what) {
    desk->post([what = std::move(what)](Supervisor&) { what(); });
  };
}

}  // namespace

std::size_t task_queue_capacity(std::uint32_t streams_max, std::uint32_t workers_max) {
  return kTasksPerStream * streams_max + kTasksPerWorker * kGenerations * workers_max +
         2 * kCallerTasksMax + kPlansMax + 1 + kTuningsWaitingMax;
}

// What is borrowed before it is made is not used before either.
Supervisor::Supervisor(const SupervisorParts& parts, Catalogue catalogue)
    : parts_(parts),
      no_choices_(parts_.fs, ""),
      choices_(parts_.engine_choices != nullptr ? *parts_.engine_choices : no_choices_),
      desk_(*parts_.desk),
      post_(post(parts_.desk)),
      models_(chosen(std::move(catalogue)), parts_.options.priorities),
      prefixes_(
          PrefixStore(parts_.options.prefix_bytes, kPrefixGenerations * parts_.options.workers_max),
          parts_.prefix_disk, models_, post_, [this](Life& life) { lives_.prefixes_came(life); }),
      books_({parts_.options, parts_.clock, parts_.metrics, pool_, models_, prefixes_}),
      adapters_({parts_.clock, parts_.ledger, parts_.tally, models_, pool_, parts_.adapter_copier,
                 post_, [this](Model& model) { requests_.hand_over_waiting(model); },
                 [this] { room_.changed(); }, [this] { finish_stop_all(); }}),
      room_({parts_.options, parts_.fs, parts_.clock, models_, pool_, books_, parts_.planner, post_,
             lives_, &adapters_}),
      requests_({parts_.fs, parts_.clock, parts_.options, parts_.tally, models_, prefixes_, lives_,
                 adapters_}),
      residency_(parts_.options, parts_.clock, models_, lives_),
      engines_({parts_.options, parts_.clock, parts_.tally, models_, choices_, parts_.view,
                requests_, replacement_, parts_.ask_canary,
                [this](Model& model) { judge_anew(model); }}),
      replacement_({parts_.clock, parts_.tally, models_, parts_.ask_canary, lives_, engines_}),
      tunings_({parts_.options, parts_.clock, parts_.tally, models_, pool_,
                parts_.tunings == nullptr ? nullptr : parts_.tuner, post_,
                [this] { return is_quiet(); }, [this](Model& model) { judge_anew(model); },
                [this](Life& life) { lives_.measured(life); }},
               parts_.tunings, os::cpu_budget()),
      board_(
          {parts_.clock, parts_.metrics, parts_.view, models_, pool_, books_, room_, residency_}),
      lives_({parts_.options,
              parts_.fs,
              parts_.clock,
              parts_.ledger,
              parts_.metrics,
              parts_.hasher,
              parts_.view,
              parts_.tally,
              parts_.start_link,
              parts_.streams_max,
              models_,
              pool_,
              prefixes_,
              books_,
              room_,
              requests_,
              residency_,
              replacement_,
              board_,
              adapters_,
              engines_,
              tunings_,
              post_,
              [this] { finish_stop_all(); }}) {
  residency_.take_pins({});
  for (const std::string& model : parts_.options.pin) {
    models_.of(models_.real_name(model)).pinned = true;
  }
}

Supervisor::~Supervisor() = default;

void Supervisor::run() {
  os::set_thread_name("runtime");
  TaskQueue& tasks = desk_.tasks();
  while (!tasks.closed() || tasks.size() > 0) {
    const auto most = is_changing() ? kTickBusy : kTickIdle;
    if (auto task = tasks.pop_for(requests_.patience(most))) (*task)(*this);
    tick();
  }
}

void Supervisor::run_pending() {
  if (auto task = desk_.tasks().try_pop()) (*task)(*this);
  tick();
}

bool Supervisor::is_changing() const {
  const std::vector<Life*> lives = models_.lives();
  return engines_.is_moving() || std::any_of(lives.begin(), lives.end(), [](const Life* life) {
           return life->phase == Phase::kLoading || life->phase == Phase::kParking ||
                  life->phase == Phase::kWaking || life->phase == Phase::kStopping;
         });
}

// Nobody would notice that the machine is busy.
bool Supervisor::is_quiet() const {
  const auto& models = models_.models();
  const bool waits = std::any_of(models.begin(), models.end(), [](const auto& one) {
    return !one.second->waiting.empty() || !one.second->load_waiters.empty();
  });
  const std::vector<Life*> lives = models_.lives();
  const bool computes = std::any_of(lives.begin(), lives.end(), [](const Life* life) {
    return life->link && life->link->outstanding() > 0;  // also what nobody waits for any more
  });
  return requests_.empty() && !waits && !computes && !is_changing();
}

Catalogue Supervisor::chosen(Catalogue catalogue) const {
  choices_.apply(catalogue);
  if (parts_.tunings != nullptr) apply_tunings(*parts_.tunings, parts_.options, catalogue);
  return catalogue;
}

// ---- streams ------------------------------------------------------------------------------------

void Supervisor::submit(std::shared_ptr<StreamState> stream, std::size_t prompt_bytes) {
  Model& model = requests_.enter(stream, prompt_bytes);
  if (refusing_) {
    requests_.refuse(model, *stream, *refusing_);
  } else if (!stream->wants_to_run()) {
    stream->abort({Code::kCancelled, "the client left before its request started"});
  } else if (stream->canary_of() != 0) {
    requests_.try_out(stream);
  } else if (model.takes_requests()) {
    model.waiting.push_back(stream);
    requests_.hand_over_waiting(model);
  } else if (!requests_.refuse_quarantined(model, *stream) &&
             !requests_.refuse_failed(model, *stream)) {
    requests_.wait(model, stream);
    lives_.want(model);
  }
}

void Supervisor::turn_away(std::shared_ptr<StreamState> stream, std::size_t prompt_bytes,
                           const Error& error) {
  requests_.enter(stream, prompt_bytes);
  stream->abort(error);
}

void Supervisor::stop_request(ipc::RequestId id) {
  requests_.stop(id);
}

void Supervisor::give_credit(ipc::RequestId id) {
  requests_.give_credit(id);
}

void Supervisor::stream_ended(ipc::RequestId id) {
  const Requests::Left left = requests_.leave(id);
  desk_.tenants().leave(turn_name(left.stream->principal()));
  desk_.leave(left.prompt_bytes);
  if (left.stream->canary_of() != 0) return canary_ended(left);
  residency_.note_use(left.model, *left.stream);
  requests_.hand_over_waiting(left.model);
  room_.changed();  // it may be idle now
  residency_.expire(left.model);
  if (!refusing_) replacement_.look(left.model);
}

void Supervisor::canary_ended(const Requests::Left& left) {
  if (!refusing_ && engines_.canary_ended(left.model, *left.stream, left.stream->id())) {
    return replacement_.look(left.model);  // the worker that was asked may be idle
  }
  Life* const life = left.model.life(left.stream->canary_of());
  const bool counts =
      life != nullptr && life->role == Life::Role::kComing && life->phase == Phase::kReady;
  if (counts && !refusing_) replacement_.canary_ended(*life, *left.stream);
}

void Supervisor::abort_all(const Error& why) {
  refusing_ = why;
  lives_.begin_no_more();
  requests_.abort_all(why);
}

// ---- callers that wait --------------------------------------------------------------------------

void Supervisor::load(const std::string& model, std::shared_ptr<Answer<ModelEntry>> answer) {
  if (refusing_) {
    answer->give(*refusing_);
    return;
  }
  Model& wanted = models_.of(model);
  if (wanted.phase() == Phase::kReady) {
    const auto entry = parts_.view.entry(model);
    answer->give(entry ? Result<ModelEntry>(*entry)
                       : Result<ModelEntry>(Error{Code::kNotFound, "the model's file is gone"}));
    return;
  }
  if (wanted.load_waiters.size() >= kCallerTasksMax) {
    answer->give(Error{Code::kBusy, "too many wait for this model; try again later"});
    return;
  }
  wanted.load_waiters.push_back(std::move(answer));
  lives_.want(wanted);
}

void Supervisor::probe(const std::string& model, std::shared_ptr<Answer<ipc::ProbeReport>> answer) {
  Life* const life = models_.of(model).serving;
  const bool is_ready = life != nullptr && life->phase == Phase::kReady;
  if (!is_ready || life->probe_waiters.size() >= kCallerTasksMax) {
    answer->give(Error{Code::kBusy, "model '" + model + "' has no worker now; load it first"});
    return;
  }
  life->probe_waiters.push_back(std::move(answer));
  if (life->probe_waiters.size() == 1) life->link->probe();
}

void Supervisor::order(const ModelOrder& order, std::shared_ptr<Answer<ModelEntry>> answer) {
  if (refusing_) {
    answer->give(*refusing_);
    return;
  }
  Model& model = models_.of(order.model);
  if (const Status begun = residency_.order(model, order); !begun) answer->give(begun.error());
  board_.show(model);
  board_.show_residence(model);
  const auto entry = parts_.view.entry(order.model);
  answer->give(entry ? Result<ModelEntry>(*entry)
                     : Result<ModelEntry>(Error{Code::kNotFound, "the model's file is gone"}));
}

void Supervisor::order_engine(const EngineOrder& order,
                              std::shared_ptr<Answer<ModelEntry>> answer) {
  Model& model = models_.of(order.model);
  const Status begun = refusing_ ? Status(*refusing_) : engines_.order(model, order);
  if (!begun) {
    std::vector<std::string> details;
    if (!order.engine.empty()) details.push_back("engine " + order.engine);
    decide(parts_.tally, ledger::decision_kind::kEngineSwitch, ledger::decision_outcome::kRefused,
           info(begun.error().code).name, model, std::move(details));
    return answer->give(begun.error());
  }
  ModelEntry gone;  // whose pin was taken away: the model has no file any more
  gone.name = order.model;
  answer->give(parts_.view.entry(order.model).value_or(std::move(gone)));
}

bool Supervisor::is_outdated(const Life& life) const {
  if (!life.files) return false;
  const CatalogueEntry* const entry = models_.entry(life.model.name);
  if (entry == nullptr || !life.files->is_of(*entry)) return true;
  const PlanWanted wanted = wanted_of(*entry, parts_.options);
  return !life.settings.loads_like(entry->settings) || wanted.engine != life.room.wanted.engine ||
         wanted.engine_sha256 != life.room.wanted.engine_sha256;
}

// Another file, other settings or another engine: which of its lives go on?
void Supervisor::judge_anew(Model& model) {
  for (Life* const life : model.all()) {
    life->outdated = is_outdated(*life);
    lives_.evict_if_outdated(*life);
  }
  if (!refusing_) replacement_.look(model);
  board_.show(model);
}

void Supervisor::preload() {
  if (!refusing_) residency_.preload();
}

void Supervisor::replace_catalogue(Catalogue catalogue, std::shared_ptr<Answer<bool>> answer) {
  const Catalogue before = models_.replace_catalogue(chosen(std::move(catalogue)));
  parts_.view.set_catalogue(models_.catalogue());
  residency_.take_pins(before);
  for (const auto& [name, model] : models_.models()) {
    model->last_error.reset();  // a file may have been mended
    model->failures.forget();
    model->replacement_failures.forget();
    judge_anew(*model);
    engines_.show(*model);
  }
  answer->give(true);
}

void Supervisor::binary_hashed(Result<Digest> digest) {
  lives_.program_hashed(digest);
}

void Supervisor::forget_prefixes() {
  prefixes_.forget();
}

// ---- turns --------------------------------------------------------------------------------------

void Supervisor::tick() {
  const std::int64_t now = parts_.clock.monotonic_ns();
  requests_.look(now);
  lives_.look(now);
  if (!refusing_) {
    for (const auto& [name, model] : models_.models()) engines_.look(*model, now);
  }
  if (room_.take_changed()) admit();
  if (now - last_second_ns_ >= kNsPerSecond) each_second(now);
  models_.bury();
}

void Supervisor::each_second(std::int64_t now_ns) {
  last_second_ns_ = now_ns;
  books_.look_after_unreaped();
  lives_.check(now_ns);
  for (const auto& [name, model] : models_.models()) {
    residency_.look(*model);
    if (!refusing_) replacement_.look(*model);
    board_.show_residence(*model);
    for (Life* const life : model->all()) lives_.log_progress(*life, now_ns);
  }
  books_.update();
  const auto shortage = books_.shortage(now_ns);
  if (shortage && !refusing_) room_.give_way(*shortage);
  if (!refusing_) tunings_.look(now_ns);
  admit();
  check_ledger();
  parts_.tally.flush(parts_.ledger);
  board_.show_totals();
}

void Supervisor::admit() {
  if (!refusing_) room_.admit();
}

// A ledger that is shut tells only those who try to write. Streams that run must end too.
void Supervisor::check_ledger() {
  if (requests_.empty()) return;
  const ledger::Health health = parts_.ledger.health();
  // Low on space, it still takes ends.
  if (health.shut) requests_.ledger_failed({Code::kLedgerUnavailable, health.reason});
}

// ---- the end ------------------------------------------------------------------------------------

void Supervisor::stop_all(std::shared_ptr<Answer<Stopped>> answer) {
  refusing_ = gateway_stopping();
  lives_.begin_no_more();
  stop_answer_ = std::move(answer);
  for (const auto& [name, model] : models_.models()) {
    requests_.abort_waiting(*model, *refusing_);
  }
  lives_.stop_all();
  finish_stop_all();
}

void Supervisor::finish_stop_all() {
  const LoadRecords& records = lives_.records();
  if (!stop_answer_ || models_.workers() > 0 || !records.all_settled()) return;
  if (!adapters_.all_settled()) return;
  std::exchange(stop_answer_, nullptr)->give(Stopped{records.engine_records(), records.lost()});
}

std::uint64_t Supervisor::bytes_of_workers() const {
  return books_.bytes_of_workers();
}

}  // namespace aioss::runtime
