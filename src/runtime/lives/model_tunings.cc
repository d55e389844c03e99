#include "runtime/lives/model_tunings.h"

#include <utility>
#include <vector>

#include "base/log.h"
#include "base/strings.h"
#include "runtime/models/decide.h"
#include "runtime/planning/tuning_plan.h"

namespace aioss::runtime {
namespace {

namespace kind = ledger::decision_kind;
namespace outcome = ledger::decision_outcome;
namespace reason = ledger::tuning_reason;

// Nobody has asked for anything for so long: the next request of a conversation may be on its way.
constexpr std::int64_t kQuietNs = 2'000'000'000;
// After so many interruptions it is measured to the end, whoever comes.
constexpr int kInterruptionsMax = 3;
constexpr int kCrashesMax = 2;
constexpr std::int64_t kCrashesNs = 600'000'000'000;  // within so long
constexpr std::int64_t kRoomAgainNs = 60'000'000'000;
constexpr std::string_view kHolderSuffix = " (tuning)";

std::uint64_t session(const memory::Needs& needs) {
  return memory::of_session(needs).total();
}

std::vector<std::string> details_of(const TuningResult& result) {
  std::vector<std::string> out{"chosen " + text(result.chosen()) + ": " + result.choice.why};
  for (const TuneMeasurement& one : result.measurements) out.push_back(text(one));
  return out;
}

// A machine that is short of something, or a ledger that takes no more, says nothing of a choice.
bool may_be_its_fault(Code code) {
  return code == Code::kEngineFailed || code == Code::kUnsupported || code == Code::kWorkerDied ||
         code == Code::kInvalidArgument;
}

}  // namespace

ModelTunings::ModelTunings(Parts parts, const TuningStore* store, const os::CpuBudget& cpu)
    : parts_(std::move(parts)), store_(store), cpu_(cpu) {}

// Nothing, if it is known, or was tried, or there is nothing to choose.
std::optional<TuningJob> ModelTunings::job_of(const Model& model,
                                              std::shared_ptr<const OpenModel> files) const {
  const CatalogueEntry* const entry = parts_.models.entry(model.name);
  if (!parts_.options.tune || parts_.tuner == nullptr || entry == nullptr || !files) {
    return std::nullopt;
  }
  if (!is_measured(*entry, parts_.options)) return std::nullopt;
  const Catalogue& catalogue = parts_.models.catalogue();
  TuningJob job;
  job.key = tuning_key_of(catalogue, *entry, parts_.options);
  if (tried_.contains(job.key) || store_->find(job.key)) return std::nullopt;
  job.space = space_of(catalogue, *entry, parts_.options, cpu_);
  if (!has_choice(job.space)) return std::nullopt;
  job.files = std::move(files);
  job.model = model.name;
  job.open = tune_open_of(*entry, parts_.options);
  return job;
}

// ---- when ---------------------------------------------------------------------------------------

void ModelTunings::look(std::int64_t now_ns) {
  for (const auto& [name, model] : parts_.models.models()) take_back_if_failed(*model, now_ns);
  if (running_) {
    const bool gives_way = running_->may_be_interrupted && !parts_.is_quiet();
    if (!running_->was_interrupted && (gives_way || is_in_vain())) {
      running_->was_interrupted = true;
      parts_.tuner->interrupt();
    }
    return;
  }
  if (!parts_.options.tune || parts_.options.profile != ipc::Profile::kFast) return;
  if (!parts_.is_quiet()) return;
  for (const auto& [name, model] : parts_.models.models()) {
    if (is_due(*model, now_ns) && begin_in_background(*model, now_ns)) return;
  }
}

// The load that waits for it was given up, and its room has gone to others.
bool ModelTunings::is_in_vain() const {
  if (!running_->life) return false;
  const Life* const life = parts_.models.life(*running_->life);
  return life == nullptr || life->phase != Phase::kLoading;
}

bool ModelTunings::is_due(const Model& model, std::int64_t now_ns) const {
  const Life* const serving = model.serving;
  if (serving == nullptr || serving->phase != Phase::kReady || !serving->is_idle()) return false;
  if (serving->outdated || serving->drains || model.coming() != nullptr) return false;
  if (now_ns - model.last_used_ns < kQuietNs || model.unload_ordered) return false;
  const auto again = no_room_until_ns_.find(model.name);
  return again == no_room_until_ns_.end() || now_ns >= again->second;
}

bool ModelTunings::begin_in_background(Model& model, std::int64_t now_ns) {
  Life& life = *model.serving;
  auto job = job_of(model, life.files);
  if (!job || !life.room.plan) return false;
  // Of each engine the whole model; of one engine its process has two sessions. The room must be
  // there twice, for what is taken is missing in what the system calls free, too.
  const memory::Needs& needs = life.room.plan->needs;
  const std::uint64_t bytes =
      job->space.engines.size() > 1 ? 2 * needs.committed() : needs.committed() + session(needs);
  auto lease = lease_for(model, bytes);
  if (lease && parts_.pool.balance(lease->device()).free < bytes) {
    lease = Error{Code::kNoMemory, "what is taken is missing in what is free"};
  }
  if (!lease) {
    has_no_room(model, bytes, now_ns);
    return false;
  }
  Running running{model.name, job->key, std::nullopt, true, false, std::move(*lease)};
  running.may_be_interrupted = interruptions_[job->key] < kInterruptionsMax;
  begin(std::move(*job), std::move(running));
  return true;
}

Result<memory::Lease> ModelTunings::lease_for(const Model& model, std::uint64_t bytes) {
  return parts_.pool.lease(std::string(memory::kHost), model.name + std::string(kHolderSuffix),
                           memory::Kind::kOverhead, bytes);
}

void ModelTunings::has_no_room(const Model& model, std::uint64_t bytes, std::int64_t now_ns) {
  log::info("a model is not measured now: there is no room for it beside itself",
            {{"model", model.name}, {"bytes", bytes}});
  const bool is_new = !no_room_until_ns_.contains(model.name);
  no_room_until_ns_[model.name] = now_ns + kRoomAgainNs;
  if (!is_new) return;
  decide(parts_.tally, kind::kTuning, outcome::kRefused, info(Code::kNoMemory).name, model,
         {"wanted=" + std::to_string(bytes)});
}

// What was leased for its worker is of one session, and what measures it has two. Answers that have
// begun do not wait for it, nor could they go on with what it may choose.
bool ModelTunings::comes_first(Life& life, const std::shared_ptr<const OpenModel>& files) {
  if (parts_.options.profile == ipc::Profile::kFast || running_) return false;
  if (life.model.has_begun_waiting()) return false;
  if (life.role != Life::Role::kServes || !life.room.plan) return false;
  auto job = job_of(life.model, files);
  if (!job) return false;
  const std::uint64_t bytes = session(life.room.plan->needs);
  auto lease = lease_for(life.model, bytes);
  if (!lease) {
    has_no_room(life.model, bytes, parts_.clock.monotonic_ns());
    return false;
  }
  Running running{life.model.name, job->key, life.number, false, false, std::move(*lease)};
  begin(std::move(*job), std::move(running));
  return true;
}

void ModelTunings::begin(TuningJob job, Running running) {
  log::info("a model is measured", {{"model", job.model}});
  tried_.insert(job.key);
  running_ = std::move(running);
  parts_.tuner->tune(std::move(job), [this, post = parts_.post](Result<TuningResult> result) {
    post([this, result = std::move(result)] { ended(result); });
  });
}

// ---- what comes of it ---------------------------------------------------------------------------

void ModelTunings::ended(const Result<TuningResult>& result) {
  if (!running_) return;
  Running was = std::exchange(running_, std::nullopt).value();
  was.lease.release();  // its processes have ended, and a load may go on
  Model& model = parts_.models.of(was.model);
  if (result) {
    take(model, *result);
  } else if (was.was_interrupted && result.error().code == Code::kShuttingDown) {
    tried_.erase(was.key);
    ++interruptions_[was.key];
  } else if (result.error().code != Code::kShuttingDown) {
    log::warn("a model cannot be measured",
              {{"model", model.name}, {"reason", result.error().message}});
    decide(parts_.tally, kind::kTuning, outcome::kFailed, info(result.error().code).name, model);
  }
  if (!was.life) return;
  if (Life* const life = parts_.models.life(*was.life)) parts_.goes_on(*life);
}

void ModelTunings::loaded(const Life& life) {
  const auto& tuned = life.settings.tuned;
  if (!tuned || tuned->engine != life.room.wanted.engine) return;  // an order wins
  if (!recorded_.emplace(life.model.name, text(*tuned)).second) return;
  decide(parts_.tally, kind::kTuning, outcome::kChosen, reason::kStored, life.model,
         {"chosen " + text(*tuned)});
}

void ModelTunings::take(Model& model, const TuningResult& result) {
  recorded_.emplace(model.name, text(result.chosen()));
  const bool is_other = result.choice.index > 0;
  decide(parts_.tally, kind::kTuning, outcome::kChosen, is_other ? reason::kFaster : reason::kKept,
         model, details_of(result));
  log::info("a model was measured",
            {{"model", model.name}, {"chosen", text(result.chosen())}, {"why", result.choice.why}});
  // The catalogue may be another by now: then what was found waits in the store.
  const CatalogueEntry* const entry = parts_.models.entry(model.name);
  if (!is_other || entry == nullptr) return;
  const Catalogue& catalogue = parts_.models.catalogue();
  const auto found = store_->find(tuning_key_of(catalogue, *entry, parts_.options));
  if (!found || found->result.choice.index == 0) return;
  parts_.models.set_tuned(model.name, found->result.chosen());
  crashes_.erase(model.name);
  parts_.has_changed(model);
}

// It could not be loaded, or failed its canary: what served goes on as it was.
void ModelTunings::take_back_if_failed(Model& model, std::int64_t now_ns) {
  const CatalogueEntry* const entry = parts_.models.entry(model.name);
  if (entry == nullptr || !entry->settings.tuned) return;
  const bool is_in_force =
      model.serving != nullptr && model.serving->settings.tuned == entry->settings.tuned;
  const auto failed = [now_ns](const LoadFailures& failures) {
    return failures.must_wait(now_ns) && may_be_its_fault(failures.why().code);
  };
  const bool beside = !is_in_force && failed(model.replacement_failures);
  const bool alone = model.phase() == Phase::kCold && failed(model.failures);
  if (beside || alone) take_back(model, "it could not be loaded so");
}

// Only crashes that are not too far apart, of what is computed as it was chosen.
void ModelTunings::died(const Life& life, bool from_inside) {
  const auto& tuned = life.settings.tuned;
  if (!from_inside || !tuned || tuned->engine != life.room.wanted.engine) return;
  if (parts_.models.settings_of(life.model.name).tuned != tuned) return;
  const std::int64_t now = parts_.clock.monotonic_ns();
  Crashes& crashes = crashes_[life.model.name];
  if (now - crashes.first_ns > kCrashesNs) crashes = {0, now};
  if (++crashes.count >= kCrashesMax) take_back(life.model, "it crashed so, twice");
}

void ModelTunings::take_back(Model& model, std::string_view why) {
  const auto* const entry = parts_.models.entry(model.name);
  if (entry == nullptr || !entry->settings.tuned) return;
  const std::string what = text(*entry->settings.tuned);
  crashes_.erase(model.name);
  if (parts_.tuner != nullptr) {
    const Catalogue& catalogue = parts_.models.catalogue();
    parts_.tuner->take_back(tuning_key_of(catalogue, *entry, parts_.options), std::string(why));
  }
  log::warn("what was chosen for a model is taken back",
            {{"model", model.name}, {"chosen", what}, {"reason", std::string(why)}});
  decide(parts_.tally, kind::kTuning, outcome::kChosen, reason::kTakenBack, model,
         {what + ": " + std::string(why)});
  parts_.models.set_tuned(model.name, std::nullopt);
  model.replacement_failures.forget();
  model.failures.forget();
  parts_.has_changed(model);
}

}  // namespace aioss::runtime
