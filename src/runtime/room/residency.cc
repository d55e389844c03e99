#include "runtime/room/residency.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/log.h"

namespace aioss::runtime {
namespace {

constexpr std::int64_t kForeverNs = INT64_MAX;
// What was loaded by order stays so long without use, at least: an operator who loads a model where
// models go after each use wants to see it loaded.
constexpr std::chrono::seconds kOrderedStay{300};

std::int64_t later(std::int64_t now_ns, std::chrono::seconds by) {
  return by == kForever ? kForeverNs : now_ns + std::chrono::nanoseconds(by).count();
}

}  // namespace

std::optional<std::chrono::seconds> warm_stay_of(const ModelSettings& settings,
                                                 const GatewayOptions& options) {
  const auto& own = settings.warm_keep_alive_seconds;
  if (!own) return options.warm_keep_alive;
  return *own == kKeepAliveForever ? kForever : std::chrono::seconds(*own);
}

// ---- what settings say --------------------------------------------------------------------------

std::chrono::seconds Residency::stay_of(const Model& model) const {
  const auto own = models_.settings_of(model.name).keep_alive_seconds;
  if (!own) return options_.keep_alive;
  return *own == kKeepAliveForever ? kForever : std::chrono::seconds(*own);
}

std::optional<std::chrono::seconds> Residency::warm_stay_of(const Model& model) const {
  return runtime::warm_stay_of(models_.settings_of(model.name), options_);
}

// Pins of the settings, where they are new: what an operator has ordered since stays as it is.
void Residency::take_pins(const Catalogue& before) {
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

void Residency::preload() {
  for (const std::string& name : options_.preload) {
    const std::string& model = models_.real_name(name);
    if (!models_.catalogue().models.contains(model)) {
      log::warn("a model to be loaded at the start is not in the catalogue", {{"model", model}});
      continue;
    }
    Model& wanted = models_.of(model);
    wanted.by_order = true;
    host_.want(wanted);
  }
}

// ---- how long it stays --------------------------------------------------------------------------

void Residency::begin(const Life& life) {
  Model& model = life.model;
  model.failures.forget();
  model.last_load_ns = clock_.monotonic_ns() - life.wanted_ns;
  model.user.clear();
  model.shared = false;
  stay_on(model);
}

void Residency::woken(const Life& life) {
  stay_on(life.model);
}

// From now on, as long as nobody uses it.
void Residency::stay_on(Model& model) {
  const bool by_order = std::exchange(model.by_order, false);
  const std::chrono::seconds least = by_order ? kOrderedStay : std::chrono::seconds(0);
  model.keep_alive_until_ns = later(clock_.monotonic_ns(), std::max(stay_of(model), least));
  model.goes_after_use = stay_of(model) == std::chrono::seconds(0);
}

// One that made room stays as long as it would have stayed, where nothing else is said.
void Residency::parked(Life& life) {
  const auto stay = warm_stay_of(life.model);
  life.warm_until_ns = stay ? later(clock_.monotonic_ns(), *stay) : life.model.keep_alive_until_ns;
}

// The last request says how long, but no tenant takes away what another one uses, too.
void Residency::note_use(Model& model, const StreamState& stream) {
  if (model.serving == nullptr || !model.serving->listens()) return;
  const std::string& tenant = stream.principal().tenant;
  if (model.user.empty()) model.user = tenant;
  if (model.user != tenant) model.shared = true;
  const std::chrono::seconds setting = stay_of(model);
  std::chrono::seconds stay = stream.keep_alive().value_or(setting);
  if (model.shared) stay = std::max(stay, setting);
  model.keep_alive_until_ns = later(clock_.monotonic_ns(), stay);
  model.goes_after_use = stay == std::chrono::seconds(0);
}

void Residency::expire(Model& model) {
  if (model.pinned || model.serving == nullptr) return;
  if (model.coming() != nullptr || model.serving->drains) return;  // it is being replaced
  if (model.is_idle()) expire_ready(model);
  if (model.phase() == Phase::kWarm) expire_warm(*model.serving);
}

void Residency::expire_ready(Model& model) {
  Life& life = *model.serving;
  if (std::exchange(model.unload_ordered, false)) {
    return host_.evict(life, ledger::unload_reason::kByOrder, {});
  }
  if (clock_.monotonic_ns() < model.keep_alive_until_ns) return;
  const bool parks = !model.goes_after_use && !life.outdated &&
                     warm_stay_of(model).value_or(std::chrono::seconds(0)).count() > 0;
  parks ? host_.park(life, ledger::unload_reason::kExpired, {})
        : host_.evict(life, ledger::unload_reason::kExpired, {});
}

void Residency::expire_warm(Life& life) {
  if (std::exchange(life.model.unload_ordered, false)) {
    host_.evict(life, ledger::unload_reason::kByOrder, {});
  } else if (clock_.monotonic_ns() >= life.warm_until_ns || life.model.goes_after_use) {
    host_.evict(life, ledger::unload_reason::kExpired, {});
  }
}

void Residency::look(Model& model) {
  if (model.phase() == Phase::kCold && model.waiting.empty()) model.unload_ordered = false;
  expire(model);
}

Residence Residency::shown(const Model& model) const {
  const std::int64_t now = clock_.monotonic_ns();
  const auto wall = [&](std::int64_t ns) { return (clock_.wall_ns() + ns - now) / kNsPerSecond; };
  Residence residence;
  residence.pinned = model.pinned;
  residence.unloading = model.unload_ordered;
  if (model.is_idle()) {
    residence.idle_unix_s = wall(model.last_used_ns);
    const bool ever = !model.pinned && model.keep_alive_until_ns != kForeverNs;
    if (ever) residence.expires_unix_s = wall(model.keep_alive_until_ns);
  }
  if (model.phase() == Phase::kWarm) {
    residence.idle_unix_s = wall(model.last_used_ns);
    const std::int64_t until = model.serving->warm_until_ns;
    if (!model.pinned && until != kForeverNs) residence.expires_unix_s = wall(until);
  }
  if (model.failures.must_wait(now)) {
    residence.retry_seconds = model.failures.refusal(now).wait->estimate_seconds;
  }
  return residence;
}

// ---- orders -------------------------------------------------------------------------------------

Status Residency::order(Model& model, const ModelOrder& order) {
  switch (order.what) {
    case ModelOrder::What::kLoad:
      return load(model);
    case ModelOrder::What::kUnload:
      unload(model, order.force);
      break;
    case ModelOrder::What::kPin:
      model.pinned = true;
      model.unload_ordered = false;
      break;
    case ModelOrder::What::kUnpin:
      unpin(model);
      break;
  }
  return ok();
}

// Somebody must wait for it, or what stops would not be started again: an answer that nobody reads.
Status Residency::load(Model& model) {
  model.unload_ordered = false;
  if (model.phase() == Phase::kReady) {
    const std::int64_t stay = later(clock_.monotonic_ns(), kOrderedStay);
    model.keep_alive_until_ns = std::max(model.keep_alive_until_ns, stay);
    return ok();
  }
  model.by_order = true;
  model.failures.forget();
  if (model.load_waiters.empty()) {
    model.load_waiters.push_back(std::make_shared<Answer<ModelEntry>>());
  }
  const auto waiter = model.load_waiters.front();
  host_.want(model);
  const auto at_once = waiter->wait_for(std::chrono::milliseconds(0));
  if (at_once && !*at_once) return at_once->error();  // no room, no such file
  return ok();
}

void Residency::unload(Model& model, bool force) {
  const Error why{Code::kCancelled, "an operator wants the model unloaded"};
  model.by_order = false;
  host_.replace_no_more(model);
  if (force) {
    model.pinned = model.unload_ordered = false;
    host_.end_at_once(model);
  } else if (model.phase() == Phase::kLoading && model.waiting.empty()) {
    host_.give_up(model, {Code::kCancelled, "an operator unloaded the model while it was loaded"});
    host_.evict(*model.serving, ledger::unload_reason::kByOrder, {});
  } else if ((model.serving != nullptr && model.serving->listens()) || !model.waiting.empty()) {
    model.unload_ordered = true;
    expire(model);
  } else if (model.phase() == Phase::kWaitingForRoom) {
    models_.end_life(*model.serving);
    host_.give_up(model, why);
  } else if (model.phase() == Phase::kStopping) {  // and would be loaded again
    host_.give_up(model, why);
  }
}

void Residency::unpin(Model& model) {
  model.pinned = false;
  const bool over = clock_.monotonic_ns() >= model.keep_alive_until_ns;
  if (may_evict(model) && over) host_.evict(*model.serving, ledger::unload_reason::kUnpinned, {});
}

}  // namespace aioss::runtime
