// The life of a worker: how a model comes to be ready, and what happens when its worker ends.
#include <algorithm>
#include <csignal>
#include <utility>

#include "base/assert.h"
#include "base/log.h"
#include "codec/hex.h"
#include "runtime/planning.h"
#include "runtime/records.h"
#include "runtime/supervisor.h"

namespace aioss::runtime {
namespace {

constexpr std::uint32_t kLoadsKilledMax = 5;
constexpr double kNsPerSecond = 1e9;

}  // namespace

// ---- starting -----------------------------------------------------------------------------------

// `room`: of its last life, if answers that have begun wait for the next.
void Supervisor::want(Model& model, LifeRoom room) {
  if (model.serving != nullptr) return;  // one that stops is followed by another, if it is wanted
  Life& life = models_.begin_life(model);
  life.wanted_ns = parts_.clock.monotonic_ns();
  life.room = std::move(room);
  publish(model);
  publish_load(model);
  plan(life);
}

void Supervisor::start(Life& life) {
  ASSERT(!life.link);
  Model& model = life.model;
  life.phase = Phase::kLoading;
  model.last_error.reset();
  life.room.began_ns = parts_.clock.monotonic_ns();
  life.room.was_used = false;
  log::info("loading a model", {{"model", model.name}});
  if (Status started = start_worker(life); !started) fail_load(life, std::move(started).error());
  publish(model);
  publish_totals();
}

Status Supervisor::start_worker(Life& life) {
  if (records_.problem()) return *records_.problem();
  Model& model = life.model;
  const CatalogueEntry* const entry = models_.entry(model.name);
  if (entry == nullptr) {
    return Error{Code::kNotFound, "there is no model '" + model.name + "'"};
  }
  AIOSS_TRY(const std::shared_ptr<OpenModel> files, files_of(life, *entry));
  if (!files) return ok();

  const GatewayOptions& options = parts_.options;
  const PlanWanted& wanted = life.room.wanted;
  LinkOptions link;
  link.model = model.name;
  link.executable = options.worker_executable;
  link.number = ++workers_started_;
  link.model_fds = files->descriptors();
  link.configure.engine = wanted.engine;
  link.configure.profile = wanted.profile;
  link.configure.streams = wanted.streams;
  link.configure.cells_per_stream = wanted.cells_per_stream;
  link.configure.threads = wanted.threads;
  link.configure.queue_requests_max = options.queue_requests_max;
  limit_caches(life);
  link.configure.spill_bytes_max = life.room.spill_bytes_max;
  link.configure.speculation = options.speculation;
  link.configure.overcommit = options.overcommit;
  link.configure.kv_type = wanted.kv_type;
  link.configure.prefill_chunk_tokens_max = options.prefill_chunk_tokens_max;
  give_prefixes(life, link, files->parts);
  link.streams_max = parts_.streams_max;
  link.exit_grace = options.worker_exit_grace;

  const auto desk = parts_.desk;
  auto started = parts_.start_link(link, [desk, number = life.number](LinkEvent event) {
    desk->post([number, event = std::move(event)](Supervisor& supervisor) {
      supervisor.on_link(number, event);
    });
  });
  if (!started) {
    prefixes_.is_new(model.name) ? prefixes_.drop(model.name) : prefixes_.ended(model.name);
    return std::move(started).error();
  }
  life.link = std::move(*started);
  life.files = files;
  if (model.died_before) restarts_.add();
  model.died_before = false;
  if (life.hash) return ok();  // of sealed files
  life.hashing = parts_.hasher.hash_model(files, [desk, number = life.number](auto hash) {
    desk->post([number, hash = std::move(hash)](Supervisor& supervisor) {
      supervisor.on_hashed(number, hash);
    });
  });
  return ok();
}

void Supervisor::on_link(std::uint64_t number, LinkEvent event) {
  Life* const life = models_.life(number);
  ASSERT(life != nullptr && life->link);  // its last event ends it
  if (auto* hello = std::get_if<ipc::Hello>(&event)) on_hello(*life, std::move(*hello));
  if (auto* ready = std::get_if<ipc::Ready>(&event)) on_ready(*life, std::move(*ready));
  if (auto* failed = std::get_if<ipc::LoadFailed>(&event)) on_load_failed(*life, failed->error);
  if (auto* report = std::get_if<ipc::ProbeReport>(&event)) on_probe(*life, *report);
  if (auto* lost = std::get_if<LinkLost>(&event)) on_lost(*life, std::move(*lost));
  if (auto* ended = std::get_if<LinkEnded>(&event)) on_ended(*life, *ended);
}

void Supervisor::on_hello(Life& life, ipc::Hello hello) {
  log::info(
      "a worker has started",
      {{"model", life.model.name}, {"pid", life.link->pid()}, {"confinement", hello.confinement}});
  life.hello = std::move(hello);
  if (std::exchange(life.forgets, false)) life.link->forget_prefixes();  // behind Configure
}

void Supervisor::on_ready(Life& life, ipc::Ready ready) {
  if (life.phase != Phase::kLoading) return;  // it is being stopped
  life.ready = std::move(ready);
  advance(life);
}

void Supervisor::on_load_failed(Life& life, const Error& error) {
  if (life.phase == Phase::kLoading) fail_load(life, error);
}

void Supervisor::on_probe(Life& life, const ipc::ProbeReport& report) {
  for (const auto& answer : std::exchange(life.probe_waiters, {})) answer->give(report);
}

void Supervisor::on_hashed(std::uint64_t number, Result<ModelHash> hash) {
  Life* const life = models_.life(number);
  if (life == nullptr || life->phase != Phase::kLoading) return;
  life->hashing.reset();
  if (!hash) {
    fail_load(*life, std::move(hash).error());
    return;
  }
  life->hash = *hash;
  parts_.view.set_sha256(life->model.name, codec::to_hex(hash->sha256));
  if (!hash->sealed || on_sealed(*life)) advance(*life);
}

void Supervisor::binary_hashed(Result<Digest> digest) {
  if (digest) {
    records_.program_is(*digest);
    for (Life* const life : models_.lives()) advance(*life);
    return;
  }
  log::error("the executable cannot be read for its record", {{"reason", digest.error().message}});
  records_.program_is_unknown(digest.error());
  for (Life* const life : models_.lives()) {
    if (life->phase == Phase::kLoading) fail_load(*life, digest.error());
  }
}

// ---- recording ----------------------------------------------------------------------------------

LoadRecords::Told Supervisor::when_recorded() {
  return {[this] {
            for (Life* const life : models_.lives()) advance(*life);
          },
          [this](const Error& error) {
            for (Life* const life : models_.lives()) {
              if (life->phase == Phase::kLoading && life->ready) fail_load(*life, error);
            }
          },
          [this](std::uint64_t life, const Result<std::uint64_t>& record) {
            on_load_recorded(life, record);
          },
          [this] { finish_stop_all(); }};
}

void Supervisor::advance(Life& life) {
  if (life.phase != Phase::kLoading || !life.ready || !life.hash) return;
  if (!records_.takes(life.number)) return;
  // The hasher looks while it reads; a hash that was remembered is only as good as the file.
  if (life.files->was_changed()) {
    return fail_load(life, {Code::kModelCorrupt,
                            "the model file was changed while it was loaded; try again when it is "
                            "whole"});
  }
  bring_prefixes(life);
  records_.record({life.number, life.model.name, *life.ready, *life.hash, life.files->bytes(),
                   life.hello ? life.hello->confinement : ""});
}

void Supervisor::on_load_recorded(std::uint64_t number, const Result<std::uint64_t>& record) {
  Life* const life = models_.life(number);
  if (life == nullptr) return;
  if (record) {
    life->load_record = *record;
    become_ready_if_whole(*life);
  } else if (life->phase == Phase::kLoading) {
    fail_load(*life, record.error());
  }
}

// ---- ready, or not ------------------------------------------------------------------------------

void Supervisor::become_ready_if_whole(Life& life) {
  if (life.phase != Phase::kLoading || !life.load_record) return;
  if (life.prefixes == Life::Prefixes::kThere) became_ready(life);
}

void Supervisor::became_ready(Life& life) {
  Model& model = life.model;
  life.phase = Phase::kReady;
  model.loads_killed = 0;
  const std::int64_t now = parts_.clock.monotonic_ns();
  const double seconds = static_cast<double>(now - life.wanted_ns) / kNsPerSecond;
  model.last_used_ns = now;
  life.room.ready_ns = now;
  model.restore_ns = now - life.room.began_ns;
  begin_residence(life);
  load_seconds_.observe(seconds);
  update_books();  // what was planned, against what there is
  const auto room = pool_.holding(std::string(memory::kHost), life.holder);
  log::info("a model is ready", {{"model", model.name},
                                 {"seconds", seconds},
                                 {"streams", life.ready->streams},
                                 {"cells_per_stream", life.ready->cells_per_stream},
                                 {"planned_bytes", room ? room->leased.total() : 0},
                                 {"measured_bytes", room ? room->measured.value_or(0) : 0}});
  publish(model);
  publish_totals();
  if (const auto entry = parts_.view.entry(model.name)) {
    for (const auto& answer : std::exchange(model.load_waiters, {})) answer->give(*entry);
  }
  hand_over_waiting(model);
  room_changed_ = true;
}

// Whatever comes of the load, nobody needs the hash now: it may be of 40 GB.
void Supervisor::stop_hashing(Life& life) {
  if (life.hashing) parts_.hasher.cancel(*life.hashing);
  life.hashing.reset();
}

void Supervisor::fail_load(Life& life, Error error) {
  Model& model = life.model;
  stop_hashing(life);
  log::error("a model cannot be loaded", {{"model", model.name}, {"reason", error.message}});
  load_failures_.add();
  // Forbidden: its file is not in the list of those that may be loaded.
  decide(ledger::decision_kind::kLoad,
         error.code == Code::kForbidden ? ledger::decision_outcome::kRefused
                                        : ledger::decision_outcome::kFailed,
         info(error.code).name, model);
  model.last_error = error;
  const std::int64_t now = parts_.clock.monotonic_ns();
  note_failure(life, error, now);
  life.unload_reason = ledger::unload_reason::kLoadFailed;
  if (life.link) {
    life.phase = Phase::kStopping;
    life.stop_began_ns = now;
    life.link->kill(error);
  } else {
    models_.end_life(life);
    life.room.committed.clear();
    life.room.spilled.release();
    room_changed_ = true;
    life.files.reset();
    life.sealing.reset();
  }
  publish(model);
  abort_waiting(model, error);
}

void Supervisor::evict(Life& life, std::string_view reason, std::vector<std::string> details) {
  const Model& model = life.model;
  decide(ledger::decision_kind::kEviction, ledger::decision_outcome::kUnloaded, reason, model,
         details);
  ++evictions_total_;
  evictions_.push_back({parts_.clock.wall_ns(), model.name, std::string(reason),
                        pool_.used_by(std::string(memory::kHost), life.holder),
                        std::move(details)});
  if (evictions_.size() > kEvictionsShown) evictions_.pop_front();
  stop(life, reason);
}

void Supervisor::stop(Life& life, std::string_view reason) {
  if (!life.link) return give_up_sealing(life);
  stop_hashing(life);
  log::info("unloading a model", {{"model", life.model.name}, {"reason", reason}});
  const bool serves = life.phase == Phase::kReady;
  life.phase = Phase::kStopping;
  life.stop_began_ns = parts_.clock.monotonic_ns();
  life.unload_reason = reason;
  const Error why{Code::kShuttingDown, "the model is being unloaded"};
  // While it loads it does not listen, and there is nothing to leave in order.
  serves ? life.link->stop(why) : life.link->kill(why);
  publish(life.model);
}

// The link has ended its streams already.
// They have begun: before those that have not.
void Supervisor::on_lost(Life& life, LinkLost lost) {
  Model& model = life.model;
  if (life.phase == Phase::kReady) await_end(life);
  for (auto stream = lost.survivors.rbegin(); stream != lost.survivors.rend(); ++stream) {
    const auto found = running_.find((*stream)->id());
    if (found == running_.end()) continue;  // it has ended since
    found->second.life = 0;
    if ((*stream)->wants_to_run()) {
      model.waiting.push_front(*stream);
    } else {
      (*stream)->abort({Code::kCancelled, "the client left"});
    }
  }
  if (lost.survivors.empty()) return;
  life.survivors = std::move(lost.survivors);
  decide(ledger::decision_kind::kRouting, ledger::decision_outcome::kChosen,
         ledger::unload_reason::kWorkerDied, model);
  log::info("requests go on with another worker",
            {{"model", model.name}, {"requests", life.survivors.size()}});
}

// Any of them may be the cause, until one was alone.
void Supervisor::find_the_cause(Life& life, const LinkEnded& ended) {
  for (const auto& stream : life.survivors) {
    if (!stream->worker_ended(ended.from_inside, life.survivors.size() == 1)) continue;
    std::erase(life.model.waiting, stream);
    quarantine(life, *stream);
    stream->abort({Code::kWorkerDied,
                   "this request ends every worker that computes it, and is not tried again: " +
                       ended.error.message});
  }
}

// Proven while it was computed, so the model was ready: its hash is known, its files are open. One
// that has ended in the meantime has no prompt any more.
void Supervisor::quarantine(const Life& life, const StreamState& stream) {
  if (!life.hash || !life.files || !running_.contains(stream.id())) return;
  quarantine_.add(content_of(stream.request()), life.hash->sha256, life.files->parts);
}

// For streams that wait to go on, a load that somebody else has killed is begun again; not for
// ever, for the kernel kills what does not fit.
bool Supervisor::loads_again(Model& model, const LinkEnded& ended) {
  return model.has_begun_waiting() && !ended.from_inside && ++model.loads_killed <= kLoadsKilledMax;
}

void Supervisor::on_ended(Life& life, const LinkEnded& ended) {
  Model& model = life.model;
  const Phase phase = life.phase;
  models_.end_life(life);
  const std::uint64_t chunk_ns = life.link->stats().chunk_ns;
  life.link.reset();
  const bool asked_to = phase == Phase::kStopping && !life.ended_by_itself;
  prefixes_.ended(model.name);
  const bool fell = ended.signal != 0 && ended.signal != SIGKILL && ended.signal != SIGTERM;
  const bool crashed = (ended.from_inside && !asked_to) || fell;  // also on its way out
  if (crashed) model.distrusts_prefixes = true;
  if (crashed || ended.unreaped) prefixes_.drop(model.name);
  take_prefixes(life, chunk_ns);
  find_the_cause(life, ended);
  leave_room(life, ended);
  if (phase == Phase::kLoading) {
    if (loads_again(model, ended)) {
      stop_hashing(life);
    } else {
      fail_load(life, ended.error);
    }
  }
  if (phase == Phase::kReady || life.ended_by_itself) note_death(life, ended);
  records_.ended(life.number, life.unload_reason);
  life.files.reset();
  publish(model);
  publish_totals();
  finish_stop_all();
  if (refusing_) return;
  // Those who made it stop have their turns before its own new requests.
  if (!model.waiting.empty() || !model.load_waiters.empty()) want(model, std::move(life.room));
}

// Nobody asked it to end.
void Supervisor::note_death(Life& life, const LinkEnded& ended) {
  log::error(
      "a worker has ended",
      {{"model", life.model.name}, {"status", ended.status}, {"reason", ended.error.message}});
  life.model.died_before = true;
  if (life.unload_reason.empty()) {
    // One that reads a mapped file gets SIGBUS when the file is cut short.
    const bool changed = ended.signal == SIGBUS && life.files && life.files->was_changed();
    life.unload_reason = std::string(changed ? ledger::unload_reason::kChanged
                                             : ledger::unload_reason::kWorkerDied) +
                         ": " + ended.status;
  }
  for (const auto& answer : std::exchange(life.probe_waiters, {})) answer->give(ended.error);
}

// ---- the end ------------------------------------------------------------------------------------

void Supervisor::stop_all(std::shared_ptr<Answer<Stopped>> answer) {
  refusing_ = Error{Code::kShuttingDown, "the gateway is stopping"};
  stop_answer_ = std::move(answer);
  for (const auto& [name, model] : models_.models()) abort_waiting(*model, *refusing_);
  for (Life* const life : models_.lives()) {
    if (life->phase == Phase::kWaitingForRoom) models_.end_life(*life);
    const bool runs = life->phase == Phase::kLoading || life->phase == Phase::kReady;
    if (runs && !life->link) {
      give_up_sealing(*life);
    } else if (runs) {
      stop(*life, ledger::unload_reason::kShutdown);
    }
  }
  finish_stop_all();
}

void Supervisor::finish_stop_all() {
  if (!stop_answer_ || models_.workers() > 0 || !records_.all_settled()) return;
  std::exchange(stop_answer_, nullptr)->give(Stopped{records_.engine_records(), records_.lost()});
}

}  // namespace aioss::runtime
