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

std::size_t Supervisor::links() const {
  return static_cast<std::size_t>(
      std::count_if(slots_.begin(), slots_.end(), [](const auto& entry) {
        const Slot& slot = *entry.second;  // one whose files are sealed has its place
        return slot.link != nullptr || slot.phase == Phase::kLoading;
      }));
}

// ---- starting -----------------------------------------------------------------------------------

void Supervisor::want(Slot& slot) {
  if (slot.phase == Phase::kLoading || slot.phase == Phase::kWaitingForRoom) return;
  if (slot.phase == Phase::kStopping) return;  // started again when it has stopped
  slot.load_began_ns = parts_.clock.monotonic_ns();
  slot.phase = Phase::kWaitingForRoom;
  publish(slot);
  publish_load(slot);
  plan(slot);
}

// Answers that have begun and wait for their next worker.
bool Supervisor::has_begun_waiting(const Slot& slot) {
  return std::any_of(slot.waiting.begin(), slot.waiting.end(),
                     [](const auto& stream) { return stream->has_begun(); });
}

void Supervisor::start(Slot& slot) {
  ASSERT(!slot.link);
  slot.phase = Phase::kLoading;
  slot.load = ++loads_;
  slot.hello.reset();
  slot.ready.reset();
  slot.hash.reset();
  slot.outdated = false;
  slot.forgets = false;
  slot.load_appended = false;
  slot.load_record.reset();
  slot.unload_reason.clear();
  slot.last_error.reset();
  slot.ended_by_itself = false;
  slot.room.began_ns = parts_.clock.monotonic_ns();
  slot.room.was_used = false;
  log::info("loading a model", {{"model", slot.name}});
  if (Status started = start_worker(slot); !started) fail_load(slot, std::move(started).error());
  publish(slot);
  publish_totals();
}

Status Supervisor::start_worker(Slot& slot) {
  if (binary_problem_) return *binary_problem_;
  const auto entry = catalogue_.models.find(slot.name);
  if (entry == catalogue_.models.end()) {
    return Error{Code::kNotFound, "there is no model '" + slot.name + "'"};
  }
  AIOSS_TRY(const std::shared_ptr<OpenModel> files, files_of(slot, entry->second));
  if (!files) return ok();

  const GatewayOptions& options = parts_.options;
  const PlanWanted& wanted = slot.room.wanted;
  LinkOptions link;
  link.model = slot.name;
  link.executable = options.worker_executable;
  link.number = slot.load;
  link.model_fds = files->descriptors();
  link.configure.engine = wanted.engine;
  link.configure.profile = wanted.profile;
  link.configure.streams = wanted.streams;
  link.configure.cells_per_stream = wanted.cells_per_stream;
  link.configure.threads = wanted.threads;
  link.configure.queue_requests_max = options.queue_requests_max;
  limit_caches(slot);
  link.configure.spill_bytes_max = slot.room.spill_bytes_max;
  link.configure.speculation = options.speculation;
  link.configure.overcommit = options.overcommit;
  link.configure.kv_type = wanted.kv_type;
  link.configure.prefill_chunk_tokens_max = options.prefill_chunk_tokens_max;
  give_prefixes(slot, link, files->parts);
  link.streams_max = parts_.streams_max;
  link.exit_grace = options.worker_exit_grace;

  const auto desk = parts_.desk;
  auto started =
      parts_.start_link(link, [desk, name = slot.name, load = slot.load](LinkEvent event) {
        desk->post([name, load, event = std::move(event)](Supervisor& supervisor) {
          supervisor.on_link(name, load, event);
        });
      });
  if (!started) {
    prefixes_.is_new(slot.name) ? prefixes_.drop(slot.name) : prefixes_.ended(slot.name);
    return std::move(started).error();
  }
  slot.link = std::move(*started);
  slot.files = files;
  if (slot.died_before) restarts_.add();
  slot.died_before = false;
  if (slot.hash) return ok();  // of sealed files
  slot.hashing =
      parts_.hasher.hash_model(files, [desk, name = slot.name, load = slot.load](auto hash) {
        desk->post([name, load, hash = std::move(hash)](Supervisor& supervisor) {
          supervisor.on_hashed(name, load, hash);
        });
      });
  return ok();
}

void Supervisor::on_link(const std::string& model, std::uint64_t load, LinkEvent event) {
  Slot& slot = slot_of(model);
  ASSERT(slot.load == load && slot.link);  // a link's last event comes before its successor starts
  if (auto* hello = std::get_if<ipc::Hello>(&event)) on_hello(slot, std::move(*hello));
  if (auto* ready = std::get_if<ipc::Ready>(&event)) on_ready(slot, std::move(*ready));
  if (auto* failed = std::get_if<ipc::LoadFailed>(&event)) on_load_failed(slot, failed->error);
  if (auto* report = std::get_if<ipc::ProbeReport>(&event)) on_probe(slot, *report);
  if (auto* lost = std::get_if<LinkLost>(&event)) on_lost(slot, std::move(*lost));
  if (auto* ended = std::get_if<LinkEnded>(&event)) on_ended(slot, *ended);
}

void Supervisor::on_hello(Slot& slot, ipc::Hello hello) {
  log::info("a worker has started",
            {{"model", slot.name}, {"pid", slot.link->pid()}, {"confinement", hello.confinement}});
  slot.hello = std::move(hello);
  if (std::exchange(slot.forgets, false)) slot.link->forget_prefixes();  // behind Configure
}

void Supervisor::on_ready(Slot& slot, ipc::Ready ready) {
  if (slot.phase != Phase::kLoading) return;  // it is being stopped
  slot.ready = std::move(ready);
  advance(slot);
}

void Supervisor::on_load_failed(Slot& slot, const Error& error) {
  if (slot.phase == Phase::kLoading) fail_load(slot, error);
}

void Supervisor::on_probe(Slot& slot, const ipc::ProbeReport& report) {
  for (const auto& answer : std::exchange(slot.probe_waiters, {})) answer->give(report);
}

void Supervisor::on_hashed(const std::string& model, std::uint64_t load, Result<ModelHash> hash) {
  Slot& slot = slot_of(model);
  if (slot.load != load || slot.phase != Phase::kLoading) return;
  slot.hashing.reset();
  if (!hash) {
    fail_load(slot, std::move(hash).error());
    return;
  }
  slot.hash = *hash;
  parts_.view.set_sha256(model, codec::to_hex(hash->sha256));
  if (!hash->sealed || on_sealed(slot)) advance(slot);
}

void Supervisor::binary_hashed(Result<Digest> digest) {
  if (!digest) {
    log::error("the executable cannot be read for its record",
               {{"reason", digest.error().message}});
    binary_problem_ = digest.error();
    for (auto& [name, slot] : slots_) {
      if (slot->phase == Phase::kLoading) fail_load(*slot, digest.error());
    }
    return;
  }
  binary_sha3_ = *digest;
  const auto& before = parts_.ledger.last_program();
  if (before && before->sha3 != *digest) {
    update_ = Update::kDue;
    append_update();
  }
  for (auto& [name, slot] : slots_) advance(*slot);
}

// ---- recording ----------------------------------------------------------------------------------

void Supervisor::advance(Slot& slot) {
  if (slot.phase != Phase::kLoading || !slot.ready || !slot.hash || !binary_sha3_) return;
  if (slot.load_appended || update_ == Update::kAppended) return;
  // The hasher looks while it reads; a hash that was remembered is only as good as the file.
  if (slot.files->was_changed()) {
    return fail_load(slot, {Code::kModelCorrupt,
                            "the model file was changed while it was loaded; try again when it is "
                            "whole"});
  }
  bring_prefixes(slot);
  if (update_ == Update::kDue) return append_update();
  const ipc::EngineFacts& facts = slot.ready->engine;
  const std::string identity = facts.name + "\n" + facts.version + "\n" + facts.build_id;
  const auto engine = engines_.find(identity);
  if (engine == engines_.end() || !engine->second.appended) {
    append_engine_start(slot, identity);
  } else if (engine->second.record) {
    append_model_load(slot, *engine->second.record);
  }  // otherwise the record is on its way
}

void Supervisor::append_update() {
  update_ = Update::kAppended;
  ++records_pending_;
  parts_.ledger.append(
      ledger::RecordType::kUpdate, records::update(*parts_.ledger.last_program(), *binary_sha3_),
      [desk = parts_.desk](const Result<ledger::Committed>& result) {
        desk->post([result](Supervisor& supervisor) { supervisor.on_update_recorded(result); });
      });
}

// If it fails, the next load tries it again.
void Supervisor::on_update_recorded(const Result<ledger::Committed>& result) {
  --records_pending_;
  update_ = result ? Update::kNone : Update::kDue;
  if (result) {
    for (auto& [name, slot] : slots_) advance(*slot);
  } else {
    fail_ready_loads({Code::kLedgerUnavailable,
                      "the update of aioss cannot be recorded: " + result.error().message});
  }
  finish_stop_all();
}

// Those that wait for a record.
void Supervisor::fail_ready_loads(const Error& error) {
  for (auto& [name, slot] : slots_) {
    if (slot->phase == Phase::kLoading && slot->ready) fail_load(*slot, error);
  }
}

void Supervisor::append_engine_start(Slot& slot, const std::string& identity) {
  engines_[identity].appended = true;
  ++records_pending_;
  const auto desk = parts_.desk;
  parts_.ledger.append(
      ledger::RecordType::kEngineStart,
      records::engine_start({slot.ready->engine, parts_.options.profile, *binary_sha3_, cpu_model_,
                             slot.hello ? slot.hello->confinement : ""}),
      [desk, identity](const Result<ledger::Committed>& result) {
        desk->post([identity, result](Supervisor& supervisor) {
          supervisor.on_engine_recorded(identity, result);
        });
      });
}

void Supervisor::on_engine_recorded(const std::string& identity,
                                    const Result<ledger::Committed>& result) {
  --records_pending_;
  if (result) {
    engines_[identity].record = result->index;
    for (auto& [name, slot] : slots_) advance(*slot);
  } else {
    engines_.erase(identity);
    fail_ready_loads({Code::kLedgerUnavailable,
                      "the engine's start cannot be recorded: " + result.error().message});
  }
  finish_stop_all();
}

void Supervisor::append_model_load(Slot& slot, std::uint64_t engine_record) {
  slot.load_appended = true;
  ++records_pending_;
  const auto desk = parts_.desk;
  parts_.ledger.append(
      ledger::RecordType::kModelLoad,
      records::model_load(slot.name, *slot.ready, *slot.hash, slot.files->bytes(), engine_record),
      [desk, name = slot.name, load = slot.load](const Result<ledger::Committed>& result) {
        desk->post([name, load, result](Supervisor& supervisor) {
          supervisor.on_load_recorded(name, load, result);
        });
      });
}

void Supervisor::on_load_recorded(const std::string& model, std::uint64_t load,
                                  const Result<ledger::Committed>& result) {
  --records_pending_;
  Slot& slot = slot_of(model);
  const bool current = slot.load == load && slot.link;
  if (!result) {
    if (current && slot.phase == Phase::kLoading) {
      fail_load(slot, {Code::kLedgerUnavailable,
                       "the load cannot be recorded: " + result.error().message});
    }
  } else if (!current) {
    // The worker ended before its load was durable.
    append_model_unload(result->index, slot.load == load
                                           ? slot.unload_reason
                                           : std::string(ledger::unload_reason::kLoadFailed));
  } else {
    slot.load_record = result->index;
    become_ready_if_whole(slot);
  }
  finish_stop_all();
}

void Supervisor::append_model_unload(std::uint64_t load_record, const std::string& reason) {
  ++records_pending_;
  const auto desk = parts_.desk;
  parts_.ledger.append(
      ledger::RecordType::kModelUnload, records::model_unload(load_record, reason),
      [desk](const Result<ledger::Committed>& result) {
        desk->post([result](Supervisor& supervisor) { supervisor.on_unload_recorded(result); });
      });
}

void Supervisor::on_unload_recorded(const Result<ledger::Committed>& result) {
  --records_pending_;
  if (!result) {
    ++records_lost_;
    log::error("MODEL_UNLOAD is not recorded", {{"reason", result.error().message}});
  }
  finish_stop_all();
}

// ---- ready, or not ------------------------------------------------------------------------------

void Supervisor::become_ready_if_whole(Slot& slot) {
  if (slot.phase != Phase::kLoading || !slot.load_record) return;
  if (slot.prefixes == Slot::Prefixes::kThere) became_ready(slot);
}

void Supervisor::became_ready(Slot& slot) {
  slot.phase = Phase::kReady;
  slot.loads_killed = 0;
  const std::int64_t now = parts_.clock.monotonic_ns();
  const double seconds = static_cast<double>(now - slot.load_began_ns) / kNsPerSecond;
  slot.last_used_ns = now;
  slot.room.ready_ns = now;
  slot.room.restore_ns = now - slot.room.began_ns;
  begin_residence(slot);
  load_seconds_.observe(seconds);
  update_books();  // what was planned, against what there is
  const auto room = pool_.holding(std::string(memory::kHost), slot.name);
  log::info("a model is ready", {{"model", slot.name},
                                 {"seconds", seconds},
                                 {"streams", slot.ready->streams},
                                 {"cells_per_stream", slot.ready->cells_per_stream},
                                 {"planned_bytes", room ? room->leased.total() : 0},
                                 {"measured_bytes", room ? room->measured.value_or(0) : 0}});
  publish(slot);
  publish_totals();
  if (const auto entry = parts_.view.entry(slot.name)) {
    for (const auto& answer : std::exchange(slot.load_waiters, {})) answer->give(*entry);
  }
  hand_over_waiting(slot);
  room_changed_ = true;
}

// Whatever comes of the load, nobody needs the hash now: it may be of 40 GB.
void Supervisor::stop_hashing(Slot& slot) {
  if (slot.hashing) parts_.hasher.cancel(*slot.hashing);
  slot.hashing.reset();
}

void Supervisor::fail_load(Slot& slot, Error error) {
  stop_hashing(slot);
  log::error("a model cannot be loaded", {{"model", slot.name}, {"reason", error.message}});
  load_failures_.add();
  // Forbidden: its file is not in the list of those that may be loaded.
  decide(ledger::decision_kind::kLoad,
         error.code == Code::kForbidden ? ledger::decision_outcome::kRefused
                                        : ledger::decision_outcome::kFailed,
         info(error.code).name, slot);
  slot.last_error = error;
  slot.failed_ns = parts_.clock.monotonic_ns();
  note_failure(slot, error);
  slot.unload_reason = ledger::unload_reason::kLoadFailed;
  if (slot.link) {
    slot.phase = Phase::kStopping;
    slot.stop_began_ns = slot.failed_ns;
    slot.link->kill(error);
  } else {
    slot.phase = Phase::kCold;
    slot.room.committed.clear();
    slot.room.spilled.release();
    room_changed_ = true;
    slot.files.reset();
    slot.sealing.reset();
  }
  publish(slot);
  abort_waiting(slot, error);
}

void Supervisor::evict(Slot& slot, std::string_view reason, std::vector<std::string> details) {
  decide(ledger::decision_kind::kEviction, ledger::decision_outcome::kUnloaded, reason, slot,
         details);
  ++evictions_total_;
  evictions_.push_back({parts_.clock.wall_ns(), slot.name, std::string(reason),
                        pool_.used_by(std::string(memory::kHost), slot.name), std::move(details)});
  if (evictions_.size() > kEvictionsShown) evictions_.pop_front();
  stop(slot, reason);
}

void Supervisor::stop(Slot& slot, std::string_view reason) {
  if (!slot.link) return give_up_sealing(slot);
  stop_hashing(slot);
  log::info("unloading a model", {{"model", slot.name}, {"reason", reason}});
  const bool serves = slot.phase == Phase::kReady;
  slot.phase = Phase::kStopping;
  slot.stop_began_ns = parts_.clock.monotonic_ns();
  slot.unload_reason = reason;
  const Error why{Code::kShuttingDown, "the model is being unloaded"};
  // While it loads it does not listen, and there is nothing to leave in order.
  serves ? slot.link->stop(why) : slot.link->kill(why);
  publish(slot);
}

// The link has ended its streams already.
// They have begun: before those that have not.
void Supervisor::on_lost(Slot& slot, LinkLost lost) {
  if (slot.phase == Phase::kReady) await_end(slot);
  for (auto stream = lost.survivors.rbegin(); stream != lost.survivors.rend(); ++stream) {
    const auto found = running_.find((*stream)->id());
    if (found == running_.end()) continue;  // it has ended since
    found->second.handed_over = false;
    if ((*stream)->wants_to_run()) {
      slot.waiting.push_front(*stream);
    } else {
      (*stream)->abort({Code::kCancelled, "the client left"});
    }
  }
  if (lost.survivors.empty()) return;
  slot.survivors = std::move(lost.survivors);
  decide(ledger::decision_kind::kRouting, ledger::decision_outcome::kChosen,
         ledger::unload_reason::kWorkerDied, slot);
  log::info("requests go on with another worker",
            {{"model", slot.name}, {"requests", slot.survivors.size()}});
}

// Any of them may be the cause, until one was alone.
void Supervisor::find_the_cause(Slot& slot, const LinkEnded& ended) {
  for (const auto& stream : slot.survivors) {
    if (!stream->worker_ended(ended.from_inside, slot.survivors.size() == 1)) continue;
    std::erase(slot.waiting, stream);
    quarantine(slot, *stream);
    stream->abort({Code::kWorkerDied,
                   "this request ends every worker that computes it, and is not tried again: " +
                       ended.error.message});
  }
}

// Proven while it was computed, so the model was ready: its hash is known, its files are open. One
// that has ended in the meantime has no prompt any more.
void Supervisor::quarantine(const Slot& slot, const StreamState& stream) {
  if (!slot.hash || !slot.files || !running_.contains(stream.id())) return;
  quarantine_.add(content_of(stream.request()), slot.hash->sha256, slot.files->parts);
}

// For streams that wait to go on, a load that somebody else has killed is begun again; not for
// ever, for the kernel kills what does not fit.
bool Supervisor::loads_again(Slot& slot, const LinkEnded& ended) {
  return has_begun_waiting(slot) && !ended.from_inside && ++slot.loads_killed <= kLoadsKilledMax;
}

void Supervisor::on_ended(Slot& slot, const LinkEnded& ended) {
  const Phase phase = std::exchange(slot.phase, Phase::kCold);
  const std::uint64_t chunk_ns = slot.link->stats().chunk_ns;
  slot.link.reset();
  slot.suspect.reset();
  const bool asked_to = phase == Phase::kStopping && !slot.ended_by_itself;
  prefixes_.ended(slot.name);
  const bool fell = ended.signal != 0 && ended.signal != SIGKILL && ended.signal != SIGTERM;
  const bool crashed = (ended.from_inside && !asked_to) || fell;  // also on its way out
  if (crashed) slot.distrusts_prefixes = true;
  if (crashed || ended.unreaped) prefixes_.drop(slot.name);
  take_prefixes(slot, chunk_ns);
  find_the_cause(slot, ended);
  slot.survivors.clear();
  leave_room(slot, ended);
  if (phase == Phase::kLoading) {
    if (loads_again(slot, ended)) {
      stop_hashing(slot);
    } else {
      fail_load(slot, ended.error);
    }
  }
  if (phase == Phase::kReady || slot.ended_by_itself) {
    log::error("a worker has ended",
               {{"model", slot.name}, {"status", ended.status}, {"reason", ended.error.message}});
    slot.died_before = true;
    if (slot.unload_reason.empty()) {
      // One that reads a mapped file gets SIGBUS when the file is cut short.
      const bool changed = ended.signal == SIGBUS && slot.files && slot.files->was_changed();
      slot.unload_reason = std::string(changed ? ledger::unload_reason::kChanged
                                               : ledger::unload_reason::kWorkerDied) +
                           ": " + ended.status;
    }
    for (const auto& answer : std::exchange(slot.probe_waiters, {})) answer->give(ended.error);
  }
  if (slot.load_record) append_model_unload(*slot.load_record, slot.unload_reason);
  slot.load_record.reset();
  slot.ready.reset();
  slot.files.reset();
  publish(slot);
  publish_totals();
  finish_stop_all();
  if (refusing_) return;
  // Those who made it stop have their turns before its own new requests.
  if (!slot.waiting.empty() || !slot.load_waiters.empty()) want(slot);
}

// ---- the end ------------------------------------------------------------------------------------

void Supervisor::stop_all(std::shared_ptr<Answer<Stopped>> answer) {
  refusing_ = Error{Code::kShuttingDown, "the gateway is stopping"};
  stop_answer_ = std::move(answer);
  for (auto& [name, slot] : slots_) {
    abort_waiting(*slot, *refusing_);
    if (slot->phase == Phase::kWaitingForRoom) {
      slot->phase = Phase::kCold;
      slot->room.committed.clear();
    }
    const bool runs = slot->phase == Phase::kLoading || slot->phase == Phase::kReady;
    if (runs && !slot->link) {
      give_up_sealing(*slot);
    } else if (runs) {
      stop(*slot, ledger::unload_reason::kShutdown);
    }
  }
  finish_stop_all();
}

void Supervisor::finish_stop_all() {
  if (!stop_answer_ || links() > 0 || records_pending_ > 0) return;
  Stopped stopped;
  stopped.records_lost = records_lost_;
  for (const auto& [identity, engine] : engines_) {
    if (engine.record) stopped.engine_records.push_back(*engine.record);
  }
  std::exchange(stop_answer_, nullptr)->give(std::move(stopped));
}

}  // namespace aioss::runtime
