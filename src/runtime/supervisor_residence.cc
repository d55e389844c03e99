// How long models stay, and what those who wait for one are told: the time after its last use,
// pins, orders of operators, loads that failed, and the time that a request may wait for a load.
//
// A load that nobody waits for any more goes on: most of its work is done, the same is likely to be
// asked for again, and what is not wanted then goes when its time after its last use is over.
#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/log.h"
#include "runtime/supervisor.h"

namespace aioss::runtime {
namespace {

constexpr std::int64_t kSecondNs = 1'000'000'000;
constexpr std::int64_t kForeverNs = INT64_MAX;
// What was loaded by order stays so long without use, at least: an operator who loads a model where
// models go after each use wants to see it loaded.
constexpr std::chrono::seconds kOrderedStay{300};
constexpr std::int64_t kTellNs = kSecondNs / 4;  // as fast as anybody shows it
constexpr std::int64_t kLogNs = 5 * kSecondNs;   // of a load that takes long
// Below this, how long a load still takes cannot be told from how far it is.
constexpr float kFractionTelling = 0.02F;

std::int64_t later(std::int64_t now_ns, std::chrono::seconds by) {
  return by == kForever ? kForeverNs : now_ns + std::chrono::nanoseconds(by).count();
}

std::uint32_t whole_seconds(std::int64_t ns) {
  return static_cast<std::uint32_t>(std::max<std::int64_t>(ns + kSecondNs - 1, 0) / kSecondNs);
}

}  // namespace

// ---- what a model's own settings say ------------------------------------------------------------

std::chrono::seconds Supervisor::stay_of(const Model& model) const {
  const auto own = models_.settings_of(model.name).keep_alive_seconds;
  if (!own) return parts_.options.keep_alive;
  return *own == kKeepAliveForever ? kForever : std::chrono::seconds(*own);
}

// Pins of the settings, where they are new: what an operator has ordered since stays as it is.
void Supervisor::take_pins(const Catalogue& before) {
  for (const auto& [name, entry] : models_.catalogue().models) {
    const auto known = before.models.find(name);
    const auto was = known == before.models.end() ? std::nullopt : known->second.settings.pinned;
    const auto& pinned = entry.settings.pinned;
    if (pinned != was) models_.of(name).pinned = pinned.value_or(false);
  }
  for (const auto& [name, entry] : before.models) {
    if (entry.settings.pinned && !models_.catalogue().models.contains(name))
      models_.of(name).pinned = false;
  }
}

// ---- how long it stays --------------------------------------------------------------------------

void Supervisor::begin_residence(const Life& life) {
  Model& model = life.model;
  const std::int64_t now = parts_.clock.monotonic_ns();
  model.failures.forget();
  model.last_load_ns = now - life.wanted_ns;
  model.user.clear();
  model.shared = false;
  const bool by_order = std::exchange(model.by_order, false);
  const std::chrono::seconds least = by_order ? kOrderedStay : std::chrono::seconds(0);
  model.keep_alive_until_ns = later(now, std::max(stay_of(model), least));
  publish_residence(model);
}

// The last request says how long, but no tenant takes away what another one uses, too.
void Supervisor::note_use(Model& model, const StreamState& stream) {
  if (model.phase() != Phase::kReady) return;
  const std::string& tenant = stream.principal().tenant;
  if (model.user.empty()) model.user = tenant;
  if (model.user != tenant) model.shared = true;
  const std::chrono::seconds setting = stay_of(model);
  std::chrono::seconds stay = stream.keep_alive().value_or(setting);
  if (model.shared) stay = std::max(stay, setting);
  model.keep_alive_until_ns = later(parts_.clock.monotonic_ns(), stay);
}

bool Supervisor::may_evict(const Model& model) const {
  return model.is_idle() && !model.pinned;
}

void Supervisor::expire(Model& model, std::int64_t now_ns) {
  if (!may_evict(model)) return;
  if (std::exchange(model.unload_ordered, false)) {
    evict(*model.serving, ledger::unload_reason::kByOrder);
  } else if (now_ns >= model.keep_alive_until_ns) {
    evict(*model.serving, ledger::unload_reason::kExpired);
  }
}

void Supervisor::keep_residence(std::int64_t now_ns) {
  for (const auto& [name, model] : models_.models()) {
    if (model->phase() == Phase::kCold && model->waiting.empty()) model->unload_ordered = false;
    expire(*model, now_ns);
    publish_residence(*model);
    for (Life* const life : model->all()) log_progress(*life, now_ns);
  }
}

void Supervisor::log_progress(Life& life, std::int64_t now_ns) {
  const std::int64_t since = std::max(life.wanted_ns, life.logged_ns);
  if (life.phase != Phase::kLoading || !life.link || now_ns - since < kLogNs) return;
  life.logged_ns = now_ns;
  log::info("a model is still loading",
            {{"model", life.model.name},
             {"percent", static_cast<int>(100 * life.link->load_fraction())},
             {"seconds", (now_ns - life.wanted_ns) / kSecondNs}});
}

void Supervisor::publish_residence(const Model& model) {
  const std::int64_t now = parts_.clock.monotonic_ns();
  const auto wall = [&](std::int64_t ns) {
    return (parts_.clock.wall_ns() + ns - now) / kSecondNs;
  };
  Residence residence;
  residence.pinned = model.pinned;
  residence.unloading = model.unload_ordered;
  if (model.is_idle()) {
    residence.idle_unix_s = wall(model.last_used_ns);
    const bool ever = !model.pinned && model.keep_alive_until_ns != kForeverNs;
    if (ever) residence.expires_unix_s = wall(model.keep_alive_until_ns);
  }
  if (model.failures.must_wait(now)) {
    residence.retry_seconds = model.failures.refusal(now).wait->estimate_seconds;
  }
  parts_.view.set_residence(model.name, residence);
}

// ---- orders -------------------------------------------------------------------------------------

void Supervisor::order(const ModelOrder& order, std::shared_ptr<Answer<ModelEntry>> answer) {
  if (refusing_) {
    answer->give(*refusing_);
    return;
  }
  Model& model = models_.of(order.model);
  switch (order.what) {
    case ModelOrder::What::kLoad:
      order_load(model, answer);
      break;
    case ModelOrder::What::kUnload:
      order_unload(model, order.force);
      break;
    case ModelOrder::What::kPin:
      model.pinned = true;
      model.unload_ordered = false;
      break;
    case ModelOrder::What::kUnpin:
      order_unpin(model);
      break;
  }
  publish(model);
  publish_residence(model);
  const auto entry = parts_.view.entry(order.model);
  answer->give(entry ? Result<ModelEntry>(*entry)
                     : Result<ModelEntry>(Error{Code::kNotFound, "the model's file is gone"}));
}

// Somebody must wait for it, or what stops would not be started again: an answer that nobody reads.
void Supervisor::order_load(Model& model, const std::shared_ptr<Answer<ModelEntry>>& answer) {
  model.unload_ordered = false;
  if (model.phase() == Phase::kReady) {
    const std::int64_t stay = later(parts_.clock.monotonic_ns(), kOrderedStay);
    model.keep_alive_until_ns = std::max(model.keep_alive_until_ns, stay);
    return;
  }
  model.by_order = true;
  model.failures.forget();
  if (model.load_waiters.empty()) {
    model.load_waiters.push_back(std::make_shared<Answer<ModelEntry>>());
  }
  const auto waiter = model.load_waiters.front();
  want(model);
  const auto at_once = waiter->wait_for(std::chrono::milliseconds(0));
  if (at_once && !*at_once) answer->give(at_once->error());  // no room, no such file
}

void Supervisor::order_unload(Model& model, bool force) {
  model.by_order = false;
  if (force) {
    model.pinned = model.unload_ordered = false;
    end_streams_of(model);
  } else if (model.phase() == Phase::kLoading && model.waiting.empty()) {
    abort_waiting(model, {Code::kCancelled, "an operator unloaded the model while it was loaded"});
    evict(*model.serving, ledger::unload_reason::kByOrder);
  } else if (model.phase() == Phase::kReady || !model.waiting.empty()) {
    model.unload_ordered = true;
    expire(model, parts_.clock.monotonic_ns());
  } else if (model.phase() == Phase::kWaitingForRoom) {
    models_.end_life(*model.serving);
    abort_waiting(model, {Code::kCancelled, "an operator wants the model unloaded"});
  } else if (model.phase() == Phase::kStopping) {  // and would be loaded again
    abort_waiting(model, {Code::kCancelled, "an operator wants the model unloaded"});
  }
}

void Supervisor::end_streams_of(Model& model) {
  const Error why{Code::kShuttingDown, "an operator has unloaded the model; try again later"};
  abort_waiting(model, why);
  if (model.phase() == Phase::kStopping) {  // those that its last worker had would go on
    for (auto& [id, running] : running_) {
      if (running.model == &model) running.stream->abort(why);
    }
  }
  if (model.phase() == Phase::kWaitingForRoom) models_.end_life(*model.serving);
  if (model.phase() != Phase::kLoading && model.phase() != Phase::kReady) return;
  Life& life = *model.serving;
  decide(ledger::decision_kind::kEviction, ledger::decision_outcome::kUnloaded,
         ledger::unload_reason::kByOrder, model);
  if (life.is_idle() || life.phase == Phase::kLoading) {
    return stop(life, ledger::unload_reason::kByOrder);
  }
  log::info("unloading a model that is in use",
            {{"model", model.name}, {"requests", life.link->outstanding()}});
  life.phase = Phase::kStopping;
  life.stop_began_ns = parts_.clock.monotonic_ns();
  life.unload_reason = ledger::unload_reason::kByOrder;
  life.link->kill(why, WorkerLink::Streams::kEnd);
}

void Supervisor::order_unpin(Model& model) {
  model.pinned = false;
  const bool over = parts_.clock.monotonic_ns() >= model.keep_alive_until_ns;
  if (may_evict(model) && over) evict(*model.serving, ledger::unload_reason::kUnpinned);
}

void Supervisor::preload() {
  if (refusing_) return;
  for (const std::string& name : parts_.options.preload) {
    const std::string& model = models_.real_name(name);
    if (!models_.catalogue().models.contains(model)) {
      log::warn("a model to be loaded at the start is not in the catalogue", {{"model", model}});
      continue;
    }
    Model& wanted = models_.of(model);
    wanted.by_order = true;
    want(wanted);
  }
}

// ---- loads that failed --------------------------------------------------------------------------

void Supervisor::note_failure(const Life& life, const Error& error, std::int64_t now_ns) {
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
  publish_residence(model);
}

// True: told at once why, and when it may be tried again.
bool Supervisor::refuse_failed(Model& model, StreamState& stream) {
  const std::int64_t now = parts_.clock.monotonic_ns();
  if (!model.failures.must_wait(now)) return false;
  if (const CatalogueEntry* const entry = models_.entry(model.name)) {
    const auto files = open_model(parts_.fs, *entry);
    const std::vector<os::FileInfo> none;
    if (!model.failures.are_of(files ? (*files)->parts : none)) {
      model.failures.forget();  // it is another file
      return false;
    }
  }
  refuse(model, stream, model.failures.refusal(now));
  return true;
}

// A file that cannot be loaded takes the place of no model that works, whoever asks for it again.
bool Supervisor::may_make_room(const Model& model) const {
  return !model.failures.is_lasting();
}

// ---- waiting ------------------------------------------------------------------------------------

ModelWait Supervisor::wait_of(const Model& model, std::size_t position) const {
  ModelWait wait;
  wait.position = static_cast<std::uint32_t>(position);
  wait.state = "loading";
  if (model.serving == nullptr) return wait;
  const Life& life = *model.serving;
  if (life.phase == Phase::kStopping) {
    wait.state = "unloading";  // the last one of its workers
    return wait;
  }
  // Before its need is known it waits for nobody else.
  if (life.phase == Phase::kWaitingForRoom && !life.room.planning) wait.state = "waiting_for_room";
  const std::int64_t so_far = parts_.clock.monotonic_ns() - life.wanted_ns;
  wait.seconds = static_cast<std::uint32_t>(so_far / kSecondNs);
  if (life.phase != Phase::kLoading || !life.link) return wait;
  wait.fraction = std::clamp(life.link->load_fraction(), 0.0F, 1.0F);
  if (wait.fraction >= kFractionTelling) {
    const double rest =
        (1.0 - static_cast<double>(wait.fraction)) / static_cast<double>(wait.fraction);
    wait.estimate_seconds =
        whole_seconds(static_cast<std::int64_t>(static_cast<double>(so_far) * rest));
  } else if (model.last_load_ns > so_far) {
    wait.estimate_seconds = whole_seconds(model.last_load_ns - so_far);
  }
  return wait;
}

void Supervisor::note_load_wait(const StreamState& stream) {
  if (const auto due = stream.load_wait_ns()) load_waits_.emplace(*due, stream.id());
}

void Supervisor::forget_load_wait(const StreamState& stream) {
  if (const auto due = stream.load_wait_ns()) load_waits_.erase({*due, stream.id()});
}

// Those that a worker has, or had, have not waited in vain.
void Supervisor::end_load_waits(std::int64_t now_ns) {
  while (!load_waits_.empty() && load_waits_.begin()->first <= now_ns) {
    const auto found = running_.find(load_waits_.begin()->second);
    load_waits_.erase(load_waits_.begin());
    if (found == running_.end() || found->second.is_handed_over()) continue;
    Model& model = *found->second.model;
    const std::shared_ptr<StreamState> stream = found->second.stream;
    const auto place = std::find(model.waiting.begin(), model.waiting.end(), stream);
    const bool waits = place != model.waiting.end() && !stream->has_begun();
    if (!waits || model.phase() == Phase::kReady) continue;
    const auto before = static_cast<std::size_t>(place - model.waiting.begin());
    model.waiting.erase(place);
    refuse(model, *stream,
           Error{Code::kLoading, "model '" + model.name +
                                     "' is not ready yet; it goes on loading: try again later, or "
                                     "wait longer (X-Aioss-Load-Wait)"}
               .with_wait(wait_of(model, before)));
  }
}

void Supervisor::tell_waiting(std::int64_t now_ns) {
  if (now_ns - told_ns_ < kTellNs) return;
  told_ns_ = now_ns;
  for (const auto& [name, model] : models_.models()) {
    if (model->phase() == Phase::kReady || model->phase() == Phase::kCold) continue;
    for (std::size_t i = 0; i < model->waiting.size(); ++i) {
      model->waiting[i]->set_model_wait(wait_of(*model, i));
    }
  }
}

}  // namespace aioss::runtime
