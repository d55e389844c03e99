// How a life ends, whoever wants it to, and what is done about those that do not.
#include <algorithm>
#include <csignal>
#include <utility>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/strings.h"
#include "runtime/dry_runs/device_table.h"
#include "runtime/lives/lives.h"
#include "runtime/lives/model_tunings.h"
#include "runtime/models/decide.h"
#include "runtime/requests/quarantine.h"

namespace aioss::runtime {
namespace {

constexpr std::uint32_t kLoadsKilledMax = 5;

// Leased for it, too: it is not parked.
bool has_session(const Life& life) {
  return std::any_of(life.room.committed.begin(), life.room.committed.end(),
                     [](const memory::Lease& lease) { return is_of_session(lease.kind()); });
}

// Of a load: the file and the settings are the same elsewhere.
bool is_of_device(const Error& error) {
  return error.code == Code::kEngineFailed || error.code == Code::kNoMemory;
}

constexpr std::int64_t kLogNs = 5 * kNsPerSecond;             // of a load that takes long
constexpr std::int64_t kShutdownGraceNs = 2 * kNsPerSecond;   // from the message to SIGTERM
constexpr std::int64_t kTerminateGraceNs = 4 * kNsPerSecond;  // from the message to SIGKILL
// To the end of patience: a process that SIGKILL has not ended by then sleeps in the kernel, and
// nobody knows for how long.
constexpr std::int64_t kGoneGraceNs = kTerminateGraceNs + 5 * kNsPerSecond;

}  // namespace

// ---- what its link says -------------------------------------------------------------------------

void Lives::on_link(std::uint64_t number, LinkEvent event) {
  Life* const life = models_.life(number);
  ASSERT(life != nullptr && life->link);  // its last event ends it
  if (auto* hello = std::get_if<ipc::Hello>(&event)) on_hello(*life, std::move(*hello));
  if (auto* ready = std::get_if<ipc::Ready>(&event)) on_ready(*life, std::move(*ready));
  if (auto* failed = std::get_if<ipc::LoadFailed>(&event)) {
    // The worker ends now, and is followed by one elsewhere.
    const bool moves = is_of_device(failed->error) && lose_device(*life, failed->error.message);
    if (life->phase == Phase::kLoading && !moves) fail_load(*life, failed->error);
    if (life->phase == Phase::kWaking) fail_wake(*life, failed->error);
  }
  if (std::holds_alternative<ipc::Parked>(event)) on_parked(*life);
  if (auto* report = std::get_if<ipc::ProbeReport>(&event)) {
    for (const auto& answer : std::exchange(life->probe_waiters, {})) answer->give(*report);
  }
  if (auto* report = std::get_if<ipc::AdapterReport>(&event)) {
    parts_.adapters.on_report(*life, std::move(*report));
  }
  if (auto* lost = std::get_if<LinkLost>(&event)) on_lost(*life, std::move(*lost));
  if (auto* ended = std::get_if<LinkEnded>(&event)) on_ended(*life, *ended);
}

// The link has ended its streams already.
void Lives::on_lost(Life& life, LinkLost lost) {
  if (life.listens()) await_end(life);
  parts_.requests.take_back(life, std::move(lost));
  Model& model = life.model;
  if (model.serving == nullptr || model.serving == &life || begins_no_more_) return;
  // It was leaving, and the one that serves may be parked.
  if (!model.waiting.empty()) want(model);
  parts_.requests.hand_over_waiting(model);
}

// For streams that wait to go on, a load that somebody else has killed is begun again; not for
// ever, for the kernel kills what does not fit.
bool Lives::loads_again(Model& model, const LinkEnded& ended) {
  return model.has_begun_waiting() && !ended.from_inside && ++model.loads_killed <= kLoadsKilledMax;
}

void Lives::on_ended(Life& life, const LinkEnded& ended) {
  Model& model = life.model;
  const Phase phase = life.phase;
  models_.end_life(life);
  const std::uint64_t chunk_ns = life.link->stats().chunk_ns;
  life.link.reset();
  const bool asked_to = phase == Phase::kStopping && !life.ended_by_itself;
  const bool fell = ended.signal != 0 && ended.signal != SIGKILL && ended.signal != SIGTERM;
  const bool crashed = (ended.from_inside && !asked_to) || fell;  // also on its way out
  if (crashed && !asked_to) (void)lose_device(life, ended.status);
  if (crashed && asked_to) {
    log::warn("a worker crashed as it was stopped",
              {{"model", model.name}, {"status", ended.status}});
  }
  const bool lost = life.room.device_lost;
  if (crashed) model.distrusts_prefixes = true;
  parts_.prefixes.take(life, !crashed && !ended.unreaped, chunk_ns);
  LinkEnded judged = ended;
  if (life.adapters.step == LifeAdapters::Step::kLoads || lost) {
    judged.from_inside = false;  // no request's
  }
  parts_.requests.find_the_cause(life, judged);
  // For answers that have begun another worker starts at once: nobody gets its room meanwhile.
  const bool is_followed = life.role == Life::Role::kServes && model.coming() == nullptr &&
                           life.holder == model.name && has_session(life);
  if (ended.unreaped) parts_.adapters.leave(life, life.room.committed);
  parts_.books.leave(life, ended,
                     is_followed && !lost && !begins_no_more_ && model.has_begun_waiting());
  if (lost) life.room.plan.reset();  // it was of that device
  parts_.room.changed();
  if (life.role == Life::Role::kComing) {
    if (!asked_to) fail_coming(life, ended.error);
  } else if (phase == Phase::kLoading) {
    if (lost || loads_again(model, ended)) {
      stop_hashing(life);
    } else {
      fail_load(life, ended.error);
    }
  }
  if (phase == Phase::kReady || life.ended_by_itself) note_death(life, ended);
  parts_.adapters.ended(life, ended.from_inside && !asked_to);
  records_.ended(life.number, life.unload_reason);
  life.files.reset();
  parts_.board.show(model);
  parts_.board.show_totals();
  parts_.less_to_wait_for();
  follow(model, life);
}

// After one of its lives has ended. What was coming takes its place as it is.
void Lives::follow(Model& model, Life& ended) {
  if (begins_no_more_ || model.serving != nullptr) return;
  if (Life* const coming = model.coming()) {
    models_.serves(*coming);
    show_hash(*coming);
    parts_.prefixes.drop(model.name);  // it has its own
    if (coming->phase == Phase::kReady) begin_service(*coming);
    return parts_.board.show(model);
  }
  // Those who made it stop have their turns before its own new requests. One that has drained was
  // loaded, and is to be loaded again.
  const bool is_wanted = !model.waiting.empty() || !model.load_waiters.empty() || ended.drains;
  if (is_wanted) begin(model, std::move(ended.room));
}

// True if layers of it were on devices: they are taken out, whoever else is there.
bool Lives::lose_device(Life& life, const std::string& why) {
  const std::shared_ptr<DeviceTable>& devices = parts_.options.devices;
  if (!devices || !life.room.plan || life.room.plan->layers_on == "cpu") return false;
  const std::string& names = life.room.plan->layers_on;
  life.room.device_lost = true;
  life.room.loss = devices->lose(names);
  note_loss(life.room.loss, life.model, why);
  return true;
}

// Before anything was on it: its driver fails already when a model is planned there.
void Lives::device_failed(Life& life, const std::string& device, const std::string& why) {
  if (!parts_.options.devices) return;
  note_loss(parts_.options.devices->lose(device), life.model, why);
}

void Lives::note_loss(const DeviceTable::Loss& loss, const Model& model, const std::string& why) {
  if (loss.names.empty()) return;  // another model has found out
  log::error("a device has failed and is used no more: its models go on elsewhere",
             {{"device", loss.names}, {"model", model.name}, {"reason", why}});
  decide(parts_.tally, ledger::decision_kind::kDevice, ledger::decision_outcome::kFailed,
         info(Code::kEngineFailed).name, model, {"device " + loss.names, one_line(why)});
}

// A request has ended its workers on them, and with the CPU as well: it was not they who failed.
void Lives::give_back(const Model& model, const DeviceTable::Loss& loss) {
  if (!parts_.options.devices) return;
  const std::string names = parts_.options.devices->give_back(loss);
  if (names.empty()) return;
  log::info("a device is used again from the next load on: a request was at fault",
            {{"device", names}, {"model", model.name}});
  decide(parts_.tally, ledger::decision_kind::kDevice, ledger::decision_outcome::kGivenBack,
         kQuarantinedReason, model, {"device " + names});
}

// Nobody asked it to end.
void Lives::note_death(Life& life, const LinkEnded& ended) {
  log::error(
      "a worker has ended",
      {{"model", life.model.name}, {"status", ended.status}, {"reason", ended.error.message}});
  life.model.died_before = true;
  parts_.tunings.died(life, ended.from_inside);
  parts_.engines.died(life, ended.from_inside);
  if (life.unload_reason.empty()) {
    // One that reads a mapped file gets SIGBUS when the file is cut short.
    const bool changed = ended.signal == SIGBUS && life.files && life.files->was_changed();
    life.unload_reason = std::string(changed ? ledger::unload_reason::kChanged
                                             : ledger::unload_reason::kWorkerDied) +
                         ": " + ended.status;
  }
  for (const auto& answer : std::exchange(life.probe_waiters, {})) answer->give(ended.error);
}

// ---- ending it ----------------------------------------------------------------------------------

void Lives::evict(Life& life, std::string_view reason, std::vector<std::string> details) {
  const Model& model = life.model;
  decide(parts_.tally, ledger::decision_kind::kEviction, ledger::decision_outcome::kUnloaded,
         reason, model, details);
  parts_.books.note_eviction(life, reason, std::move(details));
  stop(life, reason);
}

void Lives::begin_stopping(Life& life) {
  life.phase = Phase::kStopping;
  life.stop_began_ns = parts_.clock.monotonic_ns();
}

void Lives::kill_sick(Life& life, const Error& why) {
  life.unload_reason = std::string(ledger::unload_reason::kUnhealthy) + ": " + why.message;
  life.link->kill(why);
}

void Lives::stop(Life& life, std::string_view reason) {
  if (!life.link) return give_up_sealing(life);
  stop_hashing(life);
  log::info("unloading a model", {{"model", life.model.name}, {"reason", reason}});
  const bool listens = life.listens();
  begin_stopping(life);
  life.unload_reason = reason;
  const Error why{Code::kShuttingDown, "the model is being unloaded"};
  // While it loads it does not listen, and there is nothing to leave in order.
  listens ? life.link->stop(why) : life.link->kill(why);
  parts_.board.show(life.model);
}

void Lives::kill(Life& life, const Error& why, std::string_view reason) {
  begin_stopping(life);
  life.unload_reason = reason;
  life.link->kill(why, WorkerLink::Streams::kEnd);
}

// Its link has ended by itself. The last event starts another worker for those who wait, but it
// comes only once the process is gone.
void Lives::await_end(Life& life) {
  begin_stopping(life);
  life.ended_by_itself = true;
  parts_.board.show(life.model);
}

// What was hashed and recorded is no longer what the worker reads: no answer of it can be trusted.
bool Lives::end_if_changed(Life& life) {
  if (!life.files->was_changed()) return false;
  const Error why{Code::kWorkerDied,
                  "the model's file was changed while it was loaded, and is loaded anew"};
  if (life.role == Life::Role::kComing) {
    fail_coming(life, why);
    return true;
  }
  log::error("a worker is killed", {{"model", life.model.name}, {"reason", why.message}});
  kill(life, why, ledger::unload_reason::kChanged);
  for (const auto& answer : std::exchange(life.probe_waiters, {})) answer->give(why);
  parts_.board.show(life.model);
  return true;
}

// One that serves is replaced instead, if there is something to replace it (replacement.h).
void Lives::evict_if_outdated(Life& life) {
  const bool is_gone = models_.entry(life.model.name) == nullptr;
  if (is_gone && (life.is_idle() || life.phase == Phase::kWarm)) {
    evict(life, ledger::unload_reason::kRemoved, {});
  } else if (life.outdated && life.phase == Phase::kWarm) {
    evict(life, ledger::unload_reason::kNewFile, {});
  }
}

void Lives::end_if_idle(Life& life, std::string_view reason) {
  if (life.has_no_requests()) stop(life, reason);
}

// An operator wants something else of it.
void Lives::replace_no_more(Model& model) {
  if (Life* const coming = model.coming()) {
    drop(*coming, {Code::kCancelled, "an operator wants the model unloaded"});
  }
  if (model.serving == nullptr || !std::exchange(model.serving->drains, false)) return;
  parts_.requests.hand_over_waiting(model);
}

void Lives::end_at_once(Model& model) {
  const Error why{Code::kShuttingDown, "an operator has unloaded the model; try again later"};
  parts_.requests.abort_waiting(model, why);
  if (model.phase() == Phase::kStopping) {  // those that its last worker had would go on
    parts_.requests.abort_of(model, why);
  }
  for (Life* const life : model.all()) {
    const bool leaves = life->role == Life::Role::kLeaving && life->phase == Phase::kReady;
    if (leaves) kill(*life, why, ledger::unload_reason::kByOrder);
  }
  if (model.phase() == Phase::kWaitingForRoom) models_.end_life(*model.serving);
  if (model.serving == nullptr) return;
  Life& life = *model.serving;
  if (life.phase != Phase::kLoading && !life.listens()) return;
  decide(parts_.tally, ledger::decision_kind::kEviction, ledger::decision_outcome::kUnloaded,
         ledger::unload_reason::kByOrder, model);
  if (life.is_idle() || life.phase != Phase::kReady) {
    return stop(life, ledger::unload_reason::kByOrder);
  }
  log::info("unloading a model that is in use",
            {{"model", model.name}, {"requests", life.link->outstanding()}});
  kill(life, why, ledger::unload_reason::kByOrder);
}

void Lives::give_up(Model& model, const Error& error) {
  parts_.requests.abort_waiting(model, error);
}

void Lives::stop_all() {
  for (Life* const life : models_.lives()) {
    if (life->phase == Phase::kWaitingForRoom) models_.end_life(*life);
    const bool runs = life->phase == Phase::kLoading || life->listens();
    if (runs && !life->link) {
      give_up_sealing(*life);
    } else if (runs) {
      stop(*life, ledger::unload_reason::kShutdown);
    }
  }
}

// ---- watching -----------------------------------------------------------------------------------

void Lives::look(std::int64_t now_ns) {
  for (Life* const life : models_.lives()) {
    if (life->phase == Phase::kLoading) parts_.board.show(life->model);
    if (life->phase == Phase::kStopping && life->link) hurry(*life, now_ns - life->stop_began_ns);
  }
}

void Lives::hurry(Life& life, std::int64_t stopping_ns) {
  if (stopping_ns > kGoneGraceNs && life.role == Life::Role::kServes) {
    parts_.requests.abort_waiting(
        life.model, {Code::kWorkerDied, "the last worker of model '" + life.model.name +
                                            "' does not end; try again later"});
  }
  if (life.ended_by_itself) return;  // the link kills what is left of it
  if (stopping_ns > kTerminateGraceNs) {
    life.link->kill({Code::kWorkerDied, "the worker did not stop when asked"});
  } else if (stopping_ns > kShutdownGraceNs) {
    life.link->terminate();
  }
}

void Lives::check(std::int64_t now_ns) {
  const std::int64_t timeout_ns = parts_.options.load_timeout.count() * 1'000'000;
  for (Life* const life : models_.lives()) {
    const std::string& name = life->model.name;
    const bool begun = life->phase == Phase::kLoading || life->phase == Phase::kWaitingForRoom;
    if (begun && now_ns - life->wanted_ns > timeout_ns) {
      fail_load(*life, {Code::kTimeout, "model '" + name + "' took longer to load than " +
                                            std::to_string(timeout_ns / kNsPerSecond) +
                                            " s; raise the limit or use a smaller model"});
    }
    check_warm(*life, now_ns);
    if (!life->listens() || end_if_changed(*life)) continue;
    auto sick = life->link->check_health();
    if (!sick) sick = parts_.adapters.check_health(*life);
    if (sick) {
      log::error("a worker is killed", {{"model", name}, {"reason", sick->message}});
      kill_sick(*life, *sick);
    } else {
      // A suspect's turn may have come between two tasks.
      parts_.requests.hand_over_waiting(life->model);
      evict_if_outdated(*life);
    }
  }
}

void Lives::log_progress(Life& life, std::int64_t now_ns) {
  const std::int64_t since = std::max(life.wanted_ns, life.logged_ns);
  if (life.phase != Phase::kLoading || !life.link || now_ns - since < kLogNs) return;
  life.logged_ns = now_ns;
  log::info("a model is still loading",
            {{"model", life.model.name},
             {"percent", static_cast<int>(100 * life.link->load_fraction())},
             {"seconds", (now_ns - life.wanted_ns) / kNsPerSecond}});
}

}  // namespace aioss::runtime
