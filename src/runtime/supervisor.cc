#include "runtime/supervisor.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/log.h"
#include "os/cpu.h"
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

}  // namespace

std::size_t task_queue_capacity(std::uint32_t streams_max, std::uint32_t workers_max) {
  return kTasksPerStream * streams_max + kTasksPerWorker * kGenerations * workers_max +
         2 * kCallerTasksMax + kPlansMax + 1;
}

Supervisor::Supervisor(const SupervisorParts& parts, Catalogue catalogue)
    : parts_(parts),
      desk_(*parts_.desk),
      catalogue_(std::move(catalogue)),
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
  if (const auto cpu = os::cpu_info()) cpu_model_ = cpu->model;
  take_pins({});
  for (const std::string& model : parts_.options.pin) slot_of(real_name(model)).pinned = true;
}

Supervisor::~Supervisor() = default;

void Supervisor::run() {
  os::set_thread_name("runtime");
  TaskQueue& tasks = desk_.tasks();
  while (!tasks.closed() || tasks.size() > 0) {
    const bool busy = std::any_of(slots_.begin(), slots_.end(), [](const auto& entry) {
      const Phase phase = entry.second->phase;
      return phase == Phase::kLoading || phase == Phase::kStopping;
    });
    if (auto task = tasks.pop_for(patience(busy ? kTickBusy : kTickIdle))) (*task)(*this);
    tick();
  }
}

void Supervisor::run_pending() {
  if (auto task = desk_.tasks().try_pop()) (*task)(*this);
  tick();
}

Supervisor::Slot& Supervisor::slot_of(const std::string& model) {
  std::unique_ptr<Slot>& slot = slots_[model];
  if (!slot) {
    slot = std::make_unique<Slot>();
    slot->name = model;
    const auto priority = parts_.options.priorities.find(model);
    if (priority != parts_.options.priorities.end()) slot->priority = priority->second;
  }
  return *slot;
}

// ---- streams ------------------------------------------------------------------------------------

void Supervisor::submit(std::shared_ptr<StreamState> stream, std::size_t prompt_bytes) {
  Slot& slot = slot_of(stream->model());
  running_.emplace(stream->id(), Running{stream, &slot, prompt_bytes, false});
  note_deadline(*stream);
  note_load_wait(*stream);
  evict_if_outdated(slot);
  if (refusing_) {
    refuse(slot, *stream, *refusing_);
  } else if (!stream->wants_to_run()) {
    stream->abort({Code::kCancelled, "the client left before its request started"});
  } else if (slot.phase == Phase::kReady) {
    slot.waiting.push_back(stream);
    hand_over_waiting(slot);
  } else if (refuse_quarantined(slot, *stream)) {
    return;  // no load for it
  } else if (refuse_failed(slot, *stream)) {
    return;  // likewise
  } else {
    slot.waiting.push_back(stream);
    want(slot);
    told_ns_ = 0;  // the newcomer need not wait to be told
  }
}

void Supervisor::turn_away(std::shared_ptr<StreamState> stream, std::size_t prompt_bytes,
                           const Error& error) {
  Slot& slot = slot_of(stream->model());
  running_.emplace(stream->id(), Running{stream, &slot, prompt_bytes, false});
  stream->abort(error);
}

// By the name of a model, which is one of the catalogue or was.
void Supervisor::decide(std::string_view kind, std::string_view outcome, std::string_view reason,
                        const Slot& slot, std::vector<std::string> details) {
  parts_.tally.decided({std::string(kind), std::string(outcome), std::string(reason), slot.name, "",
                        std::move(details)});
}

void Supervisor::refuse(Slot& slot, StreamState& stream, const Error& error) {
  decide(ledger::decision_kind::kAdmission, ledger::decision_outcome::kRefused,
         info(error.code).name, slot);
  stream.abort(error);
}

// A model that is not loaded is known by its files, which are looked at only for a request that is
// known. What is at fault may be the engine, too: that one is mended by a restart.
bool Supervisor::refuse_quarantined(Slot& slot, StreamState& stream) {
  if (quarantine_.empty()) return false;
  const Digest content = content_of(stream.request());
  if (slot.phase == Phase::kReady) {
    if (!quarantine_.holds(content, slot.hash->sha256)) return false;
  } else {
    const auto entry = catalogue_.models.find(slot.name);
    if (entry == catalogue_.models.end() || !quarantine_.knows(content)) return false;
    const auto files = open_model(parts_.fs, entry->second);
    if (!files || !quarantine_.holds(content, (*files)->parts)) return false;
  }
  decide(ledger::decision_kind::kAdmission, ledger::decision_outcome::kRefused, kQuarantinedReason,
         slot);
  stream.abort({Code::kForbidden,
                "this request is quarantined: it ended every worker that computed it with this "
                "model; change it, or have the server restarted or the model's file replaced"});
  return true;
}

void Supervisor::hand_over(Slot& slot, const std::shared_ptr<StreamState>& stream) {
  ASSERT(slot.phase == Phase::kReady && slot.load_record && slot.ready);
  if (!stream->wants_to_run()) {
    stream->abort({Code::kCancelled, "the client left before its request started"});
    return;
  }
  if (refuse_quarantined(slot, *stream)) return;
  // An answer that was begun by one model is not gone on with by another of the same name.
  if (stream->has_begun() && !stream->is_of(slot.hash->sha256)) {
    stream->abort({Code::kWorkerDied,
                   "the worker has died, and the model's file is another one since; try again"});
    return;
  }
  if (end_if_changed(slot)) {
    slot.waiting.push_front(stream);  // for the next worker, which loads what the file is now
    return;
  }
  if (!slot.link->admit(stream)) {
    slot.waiting.push_front(stream);
    await_end(slot);
    return;
  }
  slot.last_used_ns = parts_.clock.monotonic_ns();
  slot.room.was_used = true;
  running_.at(stream->id()).handed_over = true;
  stream->set_model_wait(std::nullopt);
  if (stream->is_suspect()) slot.suspect = stream->id();
  const bool begun =
      stream->has_begun() ||
      stream->begin({*slot.load_record, slot.ready->cells_per_stream, slot.hash->sha256});
  if (!begun) return;
  note_owner(slot, *stream);
  slot.link->submit(*stream);
}

// A suspect shares a worker with nobody: what happens to it then is its own doing.
bool Supervisor::must_wait(const Slot& slot, const StreamState& stream) const {
  return slot.suspect || (stream.is_suspect() && slot.link->outstanding() > 0);
}

// In their order, as far as they may.
void Supervisor::hand_over_waiting(Slot& slot) {
  while (slot.phase == Phase::kReady && !slot.waiting.empty()) {
    const std::shared_ptr<StreamState> next = slot.waiting.front();
    if (must_wait(slot, *next)) return;
    slot.waiting.pop_front();
    hand_over(slot, next);
  }
}

// Its link has ended by itself. The last event starts another worker for those who wait, but it
// comes only once the process is gone.
void Supervisor::await_end(Slot& slot) {
  slot.phase = Phase::kStopping;
  slot.ended_by_itself = true;
  slot.stop_began_ns = parts_.clock.monotonic_ns();
  publish(slot);
}

// What was hashed and recorded is no longer what the worker reads: no answer of it can be trusted.
bool Supervisor::end_if_changed(Slot& slot) {
  if (!slot.files->was_changed()) return false;
  const Error why{Code::kWorkerDied,
                  "the model's file was changed while it was loaded; try again, it is loaded anew"};
  log::error("a worker is killed", {{"model", slot.name}, {"reason", why.message}});
  slot.phase = Phase::kStopping;
  slot.stop_began_ns = parts_.clock.monotonic_ns();
  slot.unload_reason = ledger::unload_reason::kChanged;
  slot.link->kill(why, WorkerLink::Streams::kEnd);
  for (const auto& answer : std::exchange(slot.probe_waiters, {})) answer->give(why);
  publish(slot);
  return true;
}

void Supervisor::evict_if_outdated(Slot& slot) {
  if (slot.outdated && is_idle(slot)) evict(slot, ledger::unload_reason::kRemoved);
}

void Supervisor::stop_request(ipc::RequestId id) {
  const auto found = running_.find(id);
  if (found == running_.end()) return;  // it ended in the meantime
  Running& running = found->second;
  if (running.handed_over) {
    if (running.slot->link) running.slot->link->cancel(id);
    return;
  }
  std::erase(running.slot->waiting, running.stream);
  running.stream->abort({Code::kCancelled, "the client left before its request started"});
}

void Supervisor::give_credit(ipc::RequestId id) {
  const auto found = running_.find(id);
  if (found == running_.end()) return;
  const Running& running = found->second;
  const std::uint64_t bytes = running.stream->take_credit();
  if (bytes > 0 && running.handed_over && running.slot->link) {
    running.slot->link->give_credit({id, bytes});
  }
}

void Supervisor::stream_ended(ipc::RequestId id) {
  const auto found = running_.find(id);
  ASSERT(found != running_.end());
  Slot& slot = *found->second.slot;
  if (!found->second.handed_over) std::erase(slot.waiting, found->second.stream);
  slot.last_used_ns = parts_.clock.monotonic_ns();
  const std::size_t prompt_bytes = found->second.prompt_bytes;
  forget_deadline(*found->second.stream);
  forget_load_wait(*found->second.stream);
  note_use(slot, *found->second.stream);
  desk_.tenants().leave(turn_name(found->second.stream->principal()));
  running_.erase(found);
  desk_.leave(prompt_bytes);
  if (slot.suspect == id) slot.suspect.reset();
  hand_over_waiting(slot);
  room_changed_ = true;  // it may be idle now
  expire(slot, parts_.clock.monotonic_ns());
}

void Supervisor::abort_waiting(Slot& slot, const Error& error) {
  for (const auto& stream : std::exchange(slot.waiting, {})) stream->abort(error);
  for (const auto& answer : std::exchange(slot.load_waiters, {})) answer->give(error);
  for (const auto& answer : std::exchange(slot.probe_waiters, {})) answer->give(error);
}

void Supervisor::abort_all(const Error& why) {
  refusing_ = why;
  for (auto& [name, slot] : slots_) abort_waiting(*slot, why);
  for (auto& [id, running] : running_) {
    running.stream->abort(why);
    if (running.handed_over && running.slot->link) running.slot->link->cancel(id);
  }
}

// ---- callers that wait --------------------------------------------------------------------------

void Supervisor::load(const std::string& model, std::shared_ptr<Answer<ModelEntry>> answer) {
  if (refusing_) {
    answer->give(*refusing_);
    return;
  }
  Slot& slot = slot_of(model);
  if (slot.phase == Phase::kReady) {
    const auto entry = parts_.view.entry(model);
    answer->give(entry ? Result<ModelEntry>(*entry)
                       : Result<ModelEntry>(Error{Code::kNotFound, "the model's file is gone"}));
    return;
  }
  if (slot.load_waiters.size() >= kCallerTasksMax) {
    answer->give(Error{Code::kBusy, "too many wait for this model; try again later"});
    return;
  }
  slot.load_waiters.push_back(std::move(answer));
  want(slot);
}

void Supervisor::probe(const std::string& model, std::shared_ptr<Answer<ipc::ProbeReport>> answer) {
  Slot& slot = slot_of(model);
  if (slot.phase != Phase::kReady || slot.probe_waiters.size() >= kCallerTasksMax) {
    answer->give(Error{Code::kBusy, "model '" + model + "' has no worker now; load it first"});
    return;
  }
  slot.probe_waiters.push_back(std::move(answer));
  if (slot.probe_waiters.size() == 1) slot.link->probe();
}

void Supervisor::replace_catalogue(Catalogue catalogue, std::shared_ptr<Answer<bool>> answer) {
  const Catalogue before = std::exchange(catalogue_, std::move(catalogue));
  parts_.view.set_catalogue(catalogue_);
  take_pins(before);
  for (auto& [name, slot] : slots_) {
    slot->last_error.reset();  // a file may have been mended
    slot->failures.forget();
    const auto found = catalogue_.models.find(name);
    slot->outdated =
        slot->files && (found == catalogue_.models.end() || !slot->files->is_of(found->second) ||
                        !slot->settings.loads_like(found->second.settings));
    evict_if_outdated(*slot);
    publish(*slot);
  }
  answer->give(true);
}

// ---- watching -----------------------------------------------------------------------------------

bool Supervisor::is_idle(const Slot& slot) const {
  return slot.phase == Phase::kReady && slot.link->outstanding() == 0 && slot.waiting.empty() &&
         slot.probe_waiters.empty();
}

void Supervisor::hurry(Slot& slot, std::int64_t stopping_ns) {
  if (stopping_ns > kGoneGraceNs) {
    abort_waiting(slot, {Code::kWorkerDied, "the last worker of model '" + slot.name +
                                                "' does not end; try again later"});
  }
  if (slot.ended_by_itself) return;  // the link kills what is left of it
  if (stopping_ns > kTerminateGraceNs) {
    slot.link->kill({Code::kWorkerDied, "the worker did not stop when asked"});
  } else if (stopping_ns > kShutdownGraceNs) {
    slot.link->terminate();
  }
}

void Supervisor::tick() {
  const std::int64_t now = parts_.clock.monotonic_ns();
  end_overdue(now);
  end_load_waits(now);
  tell_waiting(now);
  for (auto& [name, slot] : slots_) {
    if (slot->phase == Phase::kLoading) publish(*slot);
    if (slot->phase == Phase::kStopping && slot->link) hurry(*slot, now - slot->stop_began_ns);
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
  for (auto& [name, slot] : slots_) {
    const bool begun = slot->phase == Phase::kLoading || slot->phase == Phase::kWaitingForRoom;
    if (begun && now_ns - slot->load_began_ns > timeout_ns) {
      fail_load(*slot, {Code::kTimeout, "model '" + name + "' took longer to load than " +
                                            std::to_string(timeout_ns / kSecondNs) +
                                            " s; raise the limit or use a smaller model"});
    }
    if (slot->phase != Phase::kReady || end_if_changed(*slot)) continue;
    if (auto sick = slot->link->check_health()) {
      log::error("a worker is killed", {{"model", name}, {"reason", sick->message}});
      slot->unload_reason = std::string(ledger::unload_reason::kUnhealthy) + ": " + sick->message;
      slot->link->kill(std::move(*sick));
    } else {
      hand_over_waiting(*slot);  // a suspect's turn may have come between two tasks
      evict_if_outdated(*slot);
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

void Supervisor::publish(Slot& slot) {
  ModelView::State state;
  state.last_error = slot.last_error;
  const auto known = catalogue_.models.find(slot.name);
  if (known != catalogue_.models.end() && known->second.problem) {
    state.last_error = known->second.problem;
  }
  switch (slot.phase) {
    case Phase::kCold:
    case Phase::kStopping:
      state.state = state.last_error ? "failed" : "cold";
      if (!slot.load_waiters.empty()) state.state = "loading";  // once the last worker is gone
      break;
    case Phase::kWaitingForRoom:
      state.state = "loading";
      break;
    case Phase::kLoading:
      state.state = "loading";
      if (slot.link) state.load_fraction = slot.link->load_fraction();
      break;
    case Phase::kReady:
      state.state = "ready";
      state.load_fraction = 1;
      state.facts = slot.ready;
      break;
  }
  parts_.view.set_state(slot.name, std::move(state));
}

void Supervisor::publish_totals() {
  ModelView::Totals totals;
  std::vector<ipc::Stats> workers;
  for (const auto& [name, slot] : slots_) {
    publish_load(*slot);
    totals.queued += static_cast<std::uint32_t>(slot->waiting.size());
    if (!slot->link) continue;
    ++totals.workers;
    const ipc::Stats& stats = workers.emplace_back(slot->link->stats());
    totals.running += stats.running;
    totals.queued += stats.queued;
    if (slot->hello) totals.confinement.push_back(name + ": " + slot->hello->confinement);
  }
  workers_gauge_.set(totals.workers);
  queue_gauge_.set(totals.queued);
  running_gauge_.set(totals.running);
  worker_gauges_.set(workers);
  publish_memory();
  parts_.view.set_totals(std::move(totals));
}

}  // namespace aioss::runtime
