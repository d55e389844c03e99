#include "runtime/supervisor.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/log.h"
#include "os/thread.h"

namespace aioss::runtime {
namespace {

// A stream posts its submission, its end, "stop the worker" for up to three reasons, and that its
// consumer has read on.
constexpr std::size_t kTasksPerStream = 7;
// A worker posts five events, its hash, that its prefixes are there, and the fates of three
// records; UPDATE is a fourth.
constexpr std::size_t kTasksPerWorker = 12;
// Stopping workers stay beside their successors for a moment.
constexpr std::size_t kGenerations = 2;

constexpr std::int64_t kSecondNs = 1'000'000'000;
constexpr auto kTickIdle = std::chrono::milliseconds(1000);
constexpr auto kTickBusy = std::chrono::milliseconds(50);  // while something loads or stops
constexpr std::int64_t kShutdownGraceNs = 2 * kSecondNs;   // from the message to SIGTERM
constexpr std::int64_t kTerminateGraceNs = 4 * kSecondNs;  // from the message to SIGKILL
// To the end of patience: a process that SIGKILL has not ended by then sleeps in the kernel, and
// nobody knows for how long.
constexpr std::int64_t kGoneGraceNs = kTerminateGraceNs + 5 * kSecondNs;
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
         2 * kCallerTasksMax + kPlansMax + 1;
}

Supervisor::Supervisor(const SupervisorParts& parts, Catalogue catalogue)
    : parts_(parts),
      desk_(*parts_.desk),
      models_(std::move(catalogue), parts_.options.priorities),
      records_(parts_.ledger, parts_.options.profile, post(parts_.desk), when_recorded()),
      prefixes_(parts_.options.prefix_bytes, kPrefixGenerations * parts_.options.workers_max),
      workers_gauge_(parts_.metrics.gauge("aioss_workers", "Worker processes that run.")),
      queue_gauge_(parts_.metrics.gauge(
          "aioss_queue_depth", "Requests that wait for a model to load or for a free stream.")),
      running_gauge_(parts_.metrics.gauge("aioss_requests_running", "Requests being computed.")),
      worker_gauges_(parts_.metrics),
      memory_gauges_(parts_.metrics),
      restarts_(parts_.metrics.counter("aioss_worker_restarts_total",
                                       "Workers started in place of one that died.")),
      load_failures_(parts_.metrics.counter("aioss_model_load_failures_total",
                                            "Loads of models that failed.")),
      load_seconds_(parts_.metrics.histogram("aioss_model_load_seconds",
                                             "From asking for a model to its readiness.",
                                             {0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300})) {
  take_pins({});
  for (const std::string& model : parts_.options.pin)
    models_.of(models_.real_name(model)).pinned = true;
}

Supervisor::~Supervisor() = default;

void Supervisor::run() {
  os::set_thread_name("runtime");
  TaskQueue& tasks = desk_.tasks();
  while (!tasks.closed() || tasks.size() > 0) {
    const std::vector<Life*> lives = models_.lives();
    const bool busy = std::any_of(lives.begin(), lives.end(), [](const Life* life) {
      return life->phase == Phase::kLoading || life->phase == Phase::kStopping;
    });
    if (auto task = tasks.pop_for(patience(busy ? kTickBusy : kTickIdle))) (*task)(*this);
    tick();
    models_.bury();
  }
}

void Supervisor::run_pending() {
  if (auto task = desk_.tasks().try_pop()) (*task)(*this);
  tick();
  models_.bury();
}

// ---- streams ------------------------------------------------------------------------------------

void Supervisor::submit(std::shared_ptr<StreamState> stream, std::size_t prompt_bytes) {
  Model& model = models_.of(stream->model());
  running_.emplace(stream->id(), Running{stream, &model, prompt_bytes});
  note_deadline(*stream);
  note_load_wait(*stream);
  if (model.serving != nullptr) evict_if_outdated(*model.serving);
  if (refusing_) {
    refuse(model, *stream, *refusing_);
  } else if (!stream->wants_to_run()) {
    stream->abort({Code::kCancelled, "the client left before its request started"});
  } else if (model.phase() == Phase::kReady) {
    model.waiting.push_back(stream);
    hand_over_waiting(model);
  } else if (refuse_quarantined(model, *stream)) {
    return;  // no load for it
  } else if (refuse_failed(model, *stream)) {
    return;  // likewise
  } else {
    model.waiting.push_back(stream);
    want(model);
    told_ns_ = 0;  // the newcomer need not wait to be told
  }
}

void Supervisor::turn_away(std::shared_ptr<StreamState> stream, std::size_t prompt_bytes,
                           const Error& error) {
  Model& model = models_.of(stream->model());
  running_.emplace(stream->id(), Running{stream, &model, prompt_bytes});
  stream->abort(error);
}

// By the name of a model, which is one of the catalogue or was.
void Supervisor::decide(std::string_view kind, std::string_view outcome, std::string_view reason,
                        const Model& model, std::vector<std::string> details) {
  parts_.tally.decided({std::string(kind), std::string(outcome), std::string(reason), model.name,
                        "", std::move(details)});
}

void Supervisor::refuse(const Model& model, StreamState& stream, const Error& error) {
  decide(ledger::decision_kind::kAdmission, ledger::decision_outcome::kRefused,
         info(error.code).name, model);
  stream.abort(error);
}

// A model that is not loaded is known by its files, which are looked at only for a request that is
// known. What is at fault may be the engine, too: that one is mended by a restart.
bool Supervisor::refuse_quarantined(const Model& model, StreamState& stream) {
  if (quarantine_.empty()) return false;
  const Digest content = content_of(stream.request());
  if (model.phase() == Phase::kReady) {
    if (!quarantine_.holds(content, model.serving->hash->sha256)) return false;
  } else {
    const CatalogueEntry* const entry = models_.entry(model.name);
    if (entry == nullptr || !quarantine_.knows(content)) return false;
    const auto files = open_model(parts_.fs, *entry);
    if (!files || !quarantine_.holds(content, (*files)->parts)) return false;
  }
  decide(ledger::decision_kind::kAdmission, ledger::decision_outcome::kRefused, kQuarantinedReason,
         model);
  stream.abort({Code::kForbidden,
                "this request is quarantined: it ended every worker that computed it with this "
                "model; change it, or have the server restarted or the model's file replaced"});
  return true;
}

void Supervisor::hand_over(Life& life, const std::shared_ptr<StreamState>& stream) {
  ASSERT(life.phase == Phase::kReady && life.load_record && life.ready);
  Model& model = life.model;
  if (!stream->wants_to_run()) {
    stream->abort({Code::kCancelled, "the client left before its request started"});
    return;
  }
  if (refuse_quarantined(model, *stream)) return;
  // An answer that was begun by one model is not gone on with by another of the same name.
  if (stream->has_begun() && !stream->is_of(life.hash->sha256)) {
    stream->abort({Code::kWorkerDied,
                   "the worker has died, and the model's file is another one since; try again"});
    return;
  }
  if (end_if_changed(life)) {
    model.waiting.push_front(stream);  // for the next worker, which loads what the file is now
    return;
  }
  if (!life.link->admit(stream)) {
    model.waiting.push_front(stream);
    await_end(life);
    return;
  }
  model.last_used_ns = parts_.clock.monotonic_ns();
  life.room.was_used = true;
  running_.at(stream->id()).life = life.number;
  stream->set_model_wait(std::nullopt);
  if (stream->is_suspect()) life.suspect = stream->id();
  const bool begun =
      stream->has_begun() ||
      stream->begin({*life.load_record, life.ready->cells_per_stream, life.hash->sha256});
  if (!begun) return;
  note_owner(model, *stream);
  life.link->submit(*stream);
}

// A suspect shares a worker with nobody: what happens to it then is its own doing.
bool Supervisor::must_wait(const Life& life, const StreamState& stream) const {
  return life.suspect || (stream.is_suspect() && life.link->outstanding() > 0);
}

// In their order, as far as they may.
void Supervisor::hand_over_waiting(Model& model) {
  while (model.phase() == Phase::kReady && !model.waiting.empty()) {
    const std::shared_ptr<StreamState> next = model.waiting.front();
    if (must_wait(*model.serving, *next)) return;
    model.waiting.pop_front();
    hand_over(*model.serving, next);
  }
}

// Its link has ended by itself. The last event starts another worker for those who wait, but it
// comes only once the process is gone.
void Supervisor::await_end(Life& life) {
  life.phase = Phase::kStopping;
  life.ended_by_itself = true;
  life.stop_began_ns = parts_.clock.monotonic_ns();
  publish(life.model);
}

// What was hashed and recorded is no longer what the worker reads: no answer of it can be trusted.
bool Supervisor::end_if_changed(Life& life) {
  if (!life.files->was_changed()) return false;
  const Error why{Code::kWorkerDied,
                  "the model's file was changed while it was loaded; try again, it is loaded anew"};
  log::error("a worker is killed", {{"model", life.model.name}, {"reason", why.message}});
  life.phase = Phase::kStopping;
  life.stop_began_ns = parts_.clock.monotonic_ns();
  life.unload_reason = ledger::unload_reason::kChanged;
  life.link->kill(why, WorkerLink::Streams::kEnd);
  for (const auto& answer : std::exchange(life.probe_waiters, {})) answer->give(why);
  publish(life.model);
  return true;
}

void Supervisor::evict_if_outdated(Life& life) {
  if (life.outdated && life.is_idle()) evict(life, ledger::unload_reason::kRemoved);
}

// The worker that has it; null if it waits, or its worker has ended.
WorkerLink* Supervisor::link_of(const Running& running) const {
  if (!running.is_handed_over()) return nullptr;
  const Life* const life = running.model->life(running.life);
  return life == nullptr ? nullptr : life->link.get();
}

void Supervisor::stop_request(ipc::RequestId id) {
  const auto found = running_.find(id);
  if (found == running_.end()) return;  // it ended in the meantime
  Running& running = found->second;
  if (running.is_handed_over()) {
    if (WorkerLink* const link = link_of(running)) link->cancel(id);
    return;
  }
  std::erase(running.model->waiting, running.stream);
  running.stream->abort({Code::kCancelled, "the client left before its request started"});
}

void Supervisor::give_credit(ipc::RequestId id) {
  const auto found = running_.find(id);
  if (found == running_.end()) return;
  const Running& running = found->second;
  const std::uint64_t bytes = running.stream->take_credit();
  WorkerLink* const link = link_of(running);
  if (bytes > 0 && link != nullptr) link->give_credit({id, bytes});
}

void Supervisor::stream_ended(ipc::RequestId id) {
  const auto found = running_.find(id);
  ASSERT(found != running_.end());
  const Running running = std::move(found->second);
  Model& model = *running.model;
  if (!running.is_handed_over()) std::erase(model.waiting, running.stream);
  model.last_used_ns = parts_.clock.monotonic_ns();
  forget_deadline(*running.stream);
  forget_load_wait(*running.stream);
  note_use(model, *running.stream);
  desk_.tenants().leave(turn_name(running.stream->principal()));
  running_.erase(found);
  desk_.leave(running.prompt_bytes);
  Life* const life = model.life(running.life);
  if (life != nullptr && life->suspect == id) life->suspect.reset();
  hand_over_waiting(model);
  room_changed_ = true;  // it may be idle now
  expire(model, parts_.clock.monotonic_ns());
}

void Supervisor::abort_waiting(Model& model, const Error& error) {
  for (const auto& stream : std::exchange(model.waiting, {})) stream->abort(error);
  for (const auto& answer : std::exchange(model.load_waiters, {})) answer->give(error);
  for (const auto& life : model.lives) {
    for (const auto& answer : std::exchange(life->probe_waiters, {})) answer->give(error);
  }
}

void Supervisor::abort_all(const Error& why) {
  refusing_ = why;
  for (const auto& [name, model] : models_.models()) abort_waiting(*model, why);
  for (auto& [id, running] : running_) {
    running.stream->abort(why);
    if (WorkerLink* const link = link_of(running)) link->cancel(id);
  }
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
  want(wanted);
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

void Supervisor::replace_catalogue(Catalogue catalogue, std::shared_ptr<Answer<bool>> answer) {
  const Catalogue before = models_.replace_catalogue(std::move(catalogue));
  parts_.view.set_catalogue(models_.catalogue());
  take_pins(before);
  for (const auto& [name, model] : models_.models()) {
    model->last_error.reset();  // a file may have been mended
    model->failures.forget();
    const CatalogueEntry* const entry = models_.entry(name);
    for (Life* const life : model->all()) {
      life->outdated = life->files && (entry == nullptr || !life->files->is_of(*entry) ||
                                       !life->settings.loads_like(entry->settings));
      evict_if_outdated(*life);
    }
    publish(*model);
  }
  answer->give(true);
}

// ---- watching -----------------------------------------------------------------------------------

void Supervisor::hurry(Life& life, std::int64_t stopping_ns) {
  if (stopping_ns > kGoneGraceNs) {
    abort_waiting(life.model, {Code::kWorkerDied, "the last worker of model '" + life.model.name +
                                                      "' does not end; try again later"});
  }
  if (life.ended_by_itself) return;  // the link kills what is left of it
  if (stopping_ns > kTerminateGraceNs) {
    life.link->kill({Code::kWorkerDied, "the worker did not stop when asked"});
  } else if (stopping_ns > kShutdownGraceNs) {
    life.link->terminate();
  }
}

void Supervisor::tick() {
  const std::int64_t now = parts_.clock.monotonic_ns();
  end_overdue(now);
  end_load_waits(now);
  tell_waiting(now);
  for (Life* const life : models_.lives()) {
    if (life->phase == Phase::kLoading) publish(life->model);
    if (life->phase == Phase::kStopping && life->link) hurry(*life, now - life->stop_began_ns);
  }
  if (std::exchange(room_changed_, false)) admit_waiting();
  if (now - last_second_ns_ < kSecondNs) return;
  last_second_ns_ = now;
  std::erase_if(unreaped_, [](const Unreaped& left) {
    return left.child->wait_for(std::chrono::milliseconds(0)).has_value();
  });
  check_workers(now);
  keep_residence(now);
  update_books();
  give_way(now);
  admit_waiting();
  check_ledger();
  parts_.tally.flush(parts_.ledger);
  publish_totals();
}

void Supervisor::check_workers(std::int64_t now_ns) {
  const std::int64_t timeout_ns = parts_.options.load_timeout.count() * 1'000'000;
  for (Life* const life : models_.lives()) {
    const std::string& name = life->model.name;
    const bool begun = life->phase == Phase::kLoading || life->phase == Phase::kWaitingForRoom;
    if (begun && now_ns - life->wanted_ns > timeout_ns) {
      fail_load(*life, {Code::kTimeout, "model '" + name + "' took longer to load than " +
                                            std::to_string(timeout_ns / kSecondNs) +
                                            " s; raise the limit or use a smaller model"});
    }
    if (life->phase != Phase::kReady || end_if_changed(*life)) continue;
    if (auto sick = life->link->check_health()) {
      log::error("a worker is killed", {{"model", name}, {"reason", sick->message}});
      life->unload_reason = std::string(ledger::unload_reason::kUnhealthy) + ": " + sick->message;
      life->link->kill(std::move(*sick));
    } else {
      hand_over_waiting(life->model);  // a suspect's turn may have come between two tasks
      evict_if_outdated(*life);
    }
  }
}

// A ledger that is shut tells only those who try to write. Streams that run must end too.
void Supervisor::check_ledger() {
  const ledger::Health health = parts_.ledger.health();
  if (!health.shut || running_.empty()) return;  // low on space, it still takes ends
  const Error error{Code::kLedgerUnavailable, health.reason};
  for (auto& [id, running] : running_) running.stream->ledger_failed(error);
}

void Supervisor::publish(Model& model) {
  ModelView::State state;
  state.last_error = model.last_error;
  const CatalogueEntry* const known = models_.entry(model.name);
  if (known != nullptr && known->problem) state.last_error = known->problem;
  switch (model.phase()) {
    case Phase::kCold:
    case Phase::kStopping:
      state.state = state.last_error ? "failed" : "cold";
      if (!model.load_waiters.empty()) state.state = "loading";  // once the last worker is gone
      break;
    case Phase::kWaitingForRoom:
      state.state = "loading";
      break;
    case Phase::kLoading:
      state.state = "loading";
      if (model.has_link()) state.load_fraction = model.serving->link->load_fraction();
      break;
    case Phase::kReady:
      state.state = "ready";
      state.load_fraction = 1;
      state.facts = model.serving->ready;
      break;
  }
  parts_.view.set_state(model.name, std::move(state));
}

void Supervisor::publish_totals() {
  ModelView::Totals totals;
  std::vector<ipc::Stats> workers;
  for (const auto& [name, model] : models_.models()) {
    publish_load(*model);
    totals.queued += static_cast<std::uint32_t>(model->waiting.size());
    for (const auto& life : model->lives) {
      if (!life->link) continue;
      ++totals.workers;
      const ipc::Stats& stats = workers.emplace_back(life->link->stats());
      totals.running += stats.running;
      totals.queued += stats.queued;
      if (life->hello) totals.confinement.push_back(name + ": " + life->hello->confinement);
    }
  }
  workers_gauge_.set(totals.workers);
  queue_gauge_.set(totals.queued);
  running_gauge_.set(totals.running);
  worker_gauges_.set(workers);
  publish_memory();
  parts_.view.set_totals(std::move(totals));
}

}  // namespace aioss::runtime
