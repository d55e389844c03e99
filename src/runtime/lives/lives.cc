// How a model comes to be ready: from the wish for it to the load that is recorded.
//
// What a worker is given of its model: with a list of allowed files (docs/models.md) its bytes are
// fixed before they are hashed, and it starts only once their hash is known and is in the list;
// otherwise it loads while they are hashed.
#include "runtime/lives/lives.h"

#include <utility>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "codec/hex.h"
#include "runtime/catalogue/engines.h"
#include "runtime/lives/model_tunings.h"
#include "runtime/models/decide.h"
#include "runtime/planning/planning.h"

namespace aioss::runtime {
namespace {

records::Placement placement_of(const Life& life) {
  if (!life.room.plan) return {};
  return {life.room.plan->layers_on, life.room.plan->layers};
}

}  // namespace

Lives::Lives(const Parts& parts)
    : parts_(parts),
      models_(parts_.models),
      records_(parts_.ledger, parts_.options.profile, parts_.post, when_recorded()),
      restarts_(parts_.metrics.counter("aioss_worker_restarts_total",
                                       "Workers started in place of one that died.")),
      load_failures_(parts_.metrics.counter("aioss_model_load_failures_total",
                                            "Loads of models that failed.")),
      load_seconds_(parts_.metrics.histogram("aioss_model_load_seconds",
                                             "From asking for a model to its readiness.",
                                             {0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300})) {}

// ---- starting -----------------------------------------------------------------------------------

void Lives::want(Model& model) {
  if (model.serving == nullptr) {
    begin(model, {});
  } else {
    want_back(*model.serving);
  }
}  // one that stops is followed by another, if that is wanted then

// `room`: of its last life, if answers that have begun wait for the next.
void Lives::begin(Model& model, LifeRoom room) {
  Life& life = models_.begin_life(model);
  life.wanted_ns = parts_.clock.monotonic_ns();
  life.room = std::move(room);
  life.room.device_lost = false;  // that was the last one's: this one may crash on its own account
  life.room.loss = {};
  parts_.board.show(model);
  parts_.board.show_load(model);
  parts_.room.plan(life);
}

void Lives::start(Life& life) {
  if (life.phase == Phase::kWaitingToWake) return wake(life);
  ASSERT(!life.link);
  Model& model = life.model;
  life.phase = Phase::kLoading;
  life.start = ++starts_;
  model.last_error.reset();
  life.room.began_ns = parts_.clock.monotonic_ns();
  life.room.was_used = false;
  const bool beside = life.role == Life::Role::kComing;
  log::info(beside ? "loading a model beside itself" : "loading a model", {{"model", model.name}});
  if (Status started = start_worker(life); !started) fail_load(life, std::move(started).error());
  parts_.board.show(model);
  parts_.board.show_totals();
}

Status Lives::start_worker(Life& life) {
  if (records_.problem()) return *records_.problem();
  Model& model = life.model;
  const CatalogueEntry* const entry = models_.entry(model.name);
  if (entry == nullptr) {
    return Error{Code::kNotFound, "there is no model '" + model.name + "'"};
  }
  AIOSS_TRY(const std::shared_ptr<OpenModel> files, files_of(life, *entry));
  if (!files) return ok();
  if (parts_.tunings.comes_first(life, files)) {
    if (life.hash) life.sealing = files;  // for when it goes on
    return ok();
  }

  AIOSS_TRY(life.engine, engine_of(parts_.options.engines, life.room.wanted.engine));
  const LinkOptions link = link_options(life, *files);
  auto started =
      parts_.start_link(link, [this, post = parts_.post, number = life.number](LinkEvent event) {
        post([this, number, event = std::move(event)] { on_link(number, event); });
      });
  if (!started) {
    parts_.prefixes.was_not_started(life);
    return std::move(started).error();
  }
  life.link = std::move(*started);
  life.files = files;
  if (model.died_before) restarts_.add();
  model.died_before = false;
  if (life.hash) return ok();  // of sealed files
  life.hashing = parts_.hasher.hash_model(files, when_hashed(life));
  return ok();
}

// With other settings than were planned it begins again.
void Lives::measured(Life& life) {
  if (life.phase != Phase::kLoading || life.link) return;
  const CatalogueEntry* const entry = models_.entry(life.model.name);
  if (entry != nullptr && !parts_.room.is_wanted_as_planned(life, *entry)) {
    life.hash.reset();
    life.sealing.reset();
    return parts_.room.plan_again(life);
  }
  if (Status started = start_worker(life); !started) fail_load(life, std::move(started).error());
}

LinkOptions Lives::link_options(Life& life, const OpenModel& files) {
  const GatewayOptions& options = parts_.options;
  const PlanWanted& wanted = life.room.wanted;
  LinkOptions link;
  link.model = life.model.name;
  link.executable = options.worker_executable;
  link.number = life.start;
  link.model_fds = files.descriptors();
  link.configure.engine = wanted.engine;
  link.configure.profile = wanted.profile;
  link.configure.streams = wanted.streams;
  link.configure.cells_per_stream = wanted.cells_per_stream;
  link.configure.threads = wanted.threads;
  link.configure.queue_requests_max = options.queue_requests_max;
  parts_.books.limit_caches(life);
  link.configure.spill_bytes_max = life.room.spill_bytes_max;
  link.configure.speculation = options.speculation;
  link.configure.overcommit = options.overcommit;
  link.configure.kv_type = wanted.kv_type;
  link.configure.threads_batch = wanted.threads_batch;
  link.configure.micro_batch_tokens_max = wanted.micro_batch_tokens_max;
  link.configure.flash_attention = wanted.flash_attention;
  // As it was planned and leased, not as it was first asked for.
  if (life.room.plan) {
    link.configure.device = life.room.plan->layers_on;
    link.configure.layers = life.room.plan->layers;
  }
  link.configure.prefill_chunk_tokens_max = options.prefill_chunk_tokens_max;
  parts_.prefixes.give(life, link, files.parts);
  link.adapter_fd = parts_.adapters.give_memory(life);
  link.engine = life.engine;
  link.streams_max = parts_.streams_max;
  link.exit_grace = options.worker_exit_grace;
  return link;
}

// ---- its files ----------------------------------------------------------------------------------

// Null: they are being sealed, and the load goes on when that is done; or they are not those that
// were planned, and it begins again.
Result<std::shared_ptr<OpenModel>> Lives::files_of(Life& life, const CatalogueEntry& entry) {
  if (life.hash && life.hash->sealed) return std::exchange(life.sealing, nullptr);
  AIOSS_TRY(std::shared_ptr<OpenModel> files, open_model(parts_.fs, entry));
  if (!parts_.room.is_as_planned(life, entry, *files)) {
    parts_.room.plan_again(life);
    return std::shared_ptr<OpenModel>();
  }
  if (!models_.catalogue().allowed) return files;
  life.files = life.sealing = std::move(files);
  life.hashing = parts_.hasher.seal_model(life.sealing, when_hashed(life));
  return std::shared_ptr<OpenModel>();
}

Hasher::ModelDone Lives::when_hashed(const Life& life) {
  return [this, post = parts_.post, number = life.number](Result<ModelHash> hash) {
    post([this, number, hash = std::move(hash)] { on_hashed(number, hash); });
  };
}

// False: the load has failed.
bool Lives::on_sealed(Life& life) {
  const std::string& model = life.model.name;
  const CatalogueEntry* const entry = models_.entry(model);
  Status fit = ok();
  if (entry == nullptr) {
    fit = Error{Code::kNotFound, "the file of model '" + model + "' is gone"};
  } else if (!life.files->is_of(*entry)) {
    fit = Error{Code::kModelCorrupt,
                "the file of model '" + model + "' was replaced while it was sealed; try again"};
  } else if (models_.catalogue().allowed) {
    fit = models_.catalogue().allowed->check(entry->paths, life.hash->parts);
  }
  if (fit) fit = start_worker(life);
  if (!fit) fail_load(life, std::move(fit).error());
  return life.link != nullptr;
}

// A load without a worker: there is none to be stopped.
void Lives::give_up_sealing(Life& life) {
  stop_hashing(life);
  models_.end_life(life);
  life.files.reset();
  life.sealing.reset();
  life.room.committed.clear();
  parts_.room.changed();
  parts_.board.show(life.model);
}

void Lives::on_hashed(std::uint64_t number, const Result<ModelHash>& hash) {
  Life* const life = models_.life(number);
  if (life == nullptr || life->phase != Phase::kLoading) return;
  life->hashing.reset();
  if (!hash) {
    fail_load(*life, hash.error());
    return;
  }
  life->hash = *hash;
  if (life->role == Life::Role::kServes) show_hash(*life);
  if (!hash->sealed || on_sealed(*life)) advance(*life);
}

void Lives::show_hash(const Life& life) {
  if (life.hash) parts_.view.set_sha256(life.model.name, codec::to_hex(life.hash->sha256));
}

// Whatever comes of the load, nobody needs the hash now: it may be of 40 GB.
void Lives::stop_hashing(Life& life) {
  if (life.hashing) parts_.hasher.cancel(*life.hashing);
  life.hashing.reset();
}

// ---- recording ----------------------------------------------------------------------------------

void Lives::on_hello(Life& life, ipc::Hello hello) {
  log::info(
      "a worker has started",
      {{"model", life.model.name}, {"pid", life.link->pid()}, {"confinement", hello.confinement}});
  life.hello = std::move(hello);
  if (std::exchange(life.forgets, false)) life.link->forget_prefixes();  // behind Configure
}

void Lives::on_ready(Life& life, ipc::Ready ready) {
  if (life.phase == Phase::kWaking) return on_woken(life, ready);
  if (life.phase != Phase::kLoading) return;  // it is being stopped
  if (const Status fits = check_engine(life.engine, ready.engine); !fits) {
    return fail_load(life, fits.error());
  }
  life.ready = std::move(ready);
  parts_.tunings.loaded(life);
  advance(life);
}

void Lives::program_hashed(const Result<Digest>& digest) {
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

LoadRecords::Told Lives::when_recorded() {
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
          parts_.less_to_wait_for};
}

void Lives::advance(Life& life) {
  if (life.phase != Phase::kLoading || !life.ready || !life.hash) return;
  if (!records_.takes(life.number)) return;
  // The hasher looks while it reads; a hash that was remembered is only as good as the file.
  if (life.files->was_changed()) {
    return fail_load(life, {Code::kModelCorrupt,
                            "the model file was changed while it was loaded; try again when it is "
                            "whole"});
  }
  parts_.prefixes.bring(life, *records_.program());
  records_.record({life.number, life.model.name, *life.ready, *life.hash, life.files->bytes(),
                   life.hello ? life.hello->confinement : "", file_digest(life.engine),
                   placement_of(life)});
}

void Lives::on_load_recorded(std::uint64_t number, const Result<std::uint64_t>& record) {
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

void Lives::become_ready_if_whole(Life& life) {
  if (life.phase != Phase::kLoading || !life.load_record) return;
  if (life.prefixes == Life::Prefixes::kThere) became_ready(life);
}

void Lives::became_ready(Life& life) {
  const Model& model = life.model;
  life.phase = Phase::kReady;
  life.room.ready_ns = parts_.clock.monotonic_ns();
  const double seconds = static_cast<double>(life.room.ready_ns - life.wanted_ns) / kNsPerSecond;
  load_seconds_.observe(seconds);
  parts_.books.update();  // what was planned, against what there is
  const auto room = parts_.pool.holding(std::string(memory::kHost), life.holder);
  log::info("a model is ready", {{"model", model.name},
                                 {"seconds", seconds},
                                 {"streams", life.ready->streams},
                                 {"cells_per_stream", life.ready->cells_per_stream},
                                 {"planned_bytes", room ? room->leased.total() : 0},
                                 {"measured_bytes", room ? room->measured.value_or(0) : 0}});
  life.role == Life::Role::kComing ? parts_.replacement.was_loaded(life) : begin_service(life);
}

// From now on its model's requests are its own.
void Lives::begin_service(Life& life) {
  Model& model = life.model;
  model.loads_killed = 0;
  model.last_used_ns = parts_.clock.monotonic_ns();
  model.restore_ns = life.room.ready_ns - life.room.began_ns;
  parts_.engines.began(life);
  parts_.residency.begin(life);
  serve(life);
}

// Whoever waits for it.
void Lives::serve(Life& life) {
  Model& model = life.model;
  parts_.board.show(model);
  parts_.board.show_totals();
  if (const auto entry = parts_.view.entry(model.name)) {
    for (const auto& answer : std::exchange(model.load_waiters, {})) answer->give(*entry);
  }
  parts_.requests.hand_over_waiting(model);
  parts_.room.changed();
}

void Lives::fail_load(Life& life, Error error) {
  if (life.role == Life::Role::kComing) return fail_coming(life, error);
  Model& model = life.model;
  log::error("a model cannot be loaded", {{"model", model.name}, {"reason", error.message}});
  load_failures_.add();
  if (parts_.engines.load_failed(life, error)) return load_another_engine(life, error);
  // Forbidden: its file is not in the list of those that may be loaded.
  decide(parts_.tally, ledger::decision_kind::kLoad,
         error.code == Code::kForbidden ? ledger::decision_outcome::kRefused
                                        : ledger::decision_outcome::kFailed,
         info(error.code).name, model);
  model.last_error = error;
  note_failure(life, error, parts_.clock.monotonic_ns());
  cut_short(life, error);
  parts_.board.show(model);
  parts_.requests.abort_waiting(model, error);
}

// The one before. Whoever waits goes on waiting.
void Lives::load_another_engine(Life& life, const Error& error) {
  Model& model = life.model;
  cut_short(life, error);
  const bool is_wanted = !model.waiting.empty() || !model.load_waiters.empty() || life.drains;
  if (model.serving == nullptr && is_wanted && !begins_no_more_) begin(model, {});
  parts_.board.show(model);
}

// Nobody waits for it: the old one goes on.
void Lives::fail_coming(Life& life, const Error& error) {
  load_failures_.add();
  cut_short(life, error);
  parts_.replacement.has_failed(life.model, error);
  parts_.board.show(life.model);
}

// A life that does not serve yet.
void Lives::cut_short(Life& life, const Error& error) {
  stop_hashing(life);
  life.unload_reason = ledger::unload_reason::kLoadFailed;
  if (life.link) {
    begin_stopping(life);
    life.link->kill(error);
  } else {
    models_.end_life(life);
    life.room.committed.clear();
    life.room.spilled.release();
    parts_.room.changed();
    life.files.reset();
    life.sealing.reset();
  }
}

void Lives::drop(Life& coming, const Error& why) {
  cut_short(coming, why);
  parts_.board.show_totals();
}

void Lives::take_over(Life& coming) {
  models_.serves(coming);
  show_hash(coming);
  begin_service(coming);
  parts_.replacement.look(coming.model);  // those that it leaves may be idle
}

void Lives::note_failure(const Life& life, const Error& error, std::int64_t now_ns) {
  Model& model = life.model;
  model.by_order = false;
  const CatalogueEntry* const entry = models_.entry(model.name);
  std::vector<os::FileInfo> parts;
  if (life.files) {
    parts = life.files->parts;
  } else if (entry != nullptr) {  // its worker was not even started
    if (const auto files = open_model(parts_.fs, *entry)) parts = (*files)->parts;
  }
  model.failures.note(error, std::move(parts), now_ns);
  parts_.board.show_residence(model);
}

void Lives::turn_away(Life& life, const Error& error, const std::vector<std::string>& details) {
  if (life.role == Life::Role::kComing) return fail_coming(life, error);
  Model& model = life.model;
  // The one before has drained for it, and has room.
  const bool in_turn = model.engine_switch.step == EngineSwitch::Step::kLoading;
  if (in_turn && parts_.engines.load_failed(life, error)) return load_another_engine(life, error);
  if (!model.load_waiters.empty()) {  // somebody ordered it, whom no stream tells
    model.last_error = error;
    decide(parts_.tally, ledger::decision_kind::kLoad, ledger::decision_outcome::kRefused,
           info(error.code).name, model, details);
  }
  refuse_waiting(life, error, details);
}

// It is not loaded now: whoever waits is told why.
void Lives::refuse_waiting(Life& life, const Error& error,
                           const std::vector<std::string>& details) {
  if (life.role == Life::Role::kComing) return fail_coming(life, error);
  Model& model = life.model;
  if (life.phase == Phase::kWaitingToWake) {
    life.phase = Phase::kWarm;
  } else {
    models_.end_life(life);
  }
  model.by_order = false;
  parts_.board.show(model);
  parts_.requests.refuse_waiting(model, error, details);
}

}  // namespace aioss::runtime
