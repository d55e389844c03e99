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

const ModelSettings& Supervisor::own_settings(const std::string& model) const {
  static const ModelSettings kNone;
  const auto found = catalogue_.models.find(model);
  return found == catalogue_.models.end() ? kNone : found->second.settings;
}

std::chrono::seconds Supervisor::stay_of(const Slot& slot) const {
  const auto own = own_settings(slot.name).keep_alive_seconds;
  if (!own) return parts_.options.keep_alive;
  return *own == kKeepAliveForever ? kForever : std::chrono::seconds(*own);
}

std::int64_t Supervisor::priority_of(const Slot& slot) const {
  return own_settings(slot.name).priority.value_or(slot.priority);
}

const std::string& Supervisor::real_name(const std::string& name) const {
  const auto alias = catalogue_.aliases.find(name);
  return alias == catalogue_.aliases.end() ? name : alias->second;
}

// Pins of the settings, where they are new: what an operator has ordered since stays as it is.
void Supervisor::take_pins(const Catalogue& before) {
  for (const auto& [name, entry] : catalogue_.models) {
    const auto known = before.models.find(name);
    const auto was = known == before.models.end() ? std::nullopt : known->second.settings.pinned;
    const auto& pinned = entry.settings.pinned;
    if (pinned != was) slot_of(name).pinned = pinned.value_or(false);
  }
  for (const auto& [name, entry] : before.models) {
    if (entry.settings.pinned && !catalogue_.models.contains(name)) slot_of(name).pinned = false;
  }
}

// ---- how long it stays --------------------------------------------------------------------------

void Supervisor::begin_residence(Slot& slot) {
  const std::int64_t now = parts_.clock.monotonic_ns();
  slot.failures.forget();
  slot.last_load_ns = now - slot.load_began_ns;
  slot.user.clear();
  slot.shared = false;
  const bool by_order = std::exchange(slot.by_order, false);
  const std::chrono::seconds least = by_order ? kOrderedStay : std::chrono::seconds(0);
  slot.keep_alive_until_ns = later(now, std::max(stay_of(slot), least));
  publish_residence(slot);
}

// The last request says how long, but no tenant takes away what another one uses, too.
void Supervisor::note_use(Slot& slot, const StreamState& stream) {
  if (slot.phase != Phase::kReady) return;
  const std::string& tenant = stream.principal().tenant;
  if (slot.user.empty()) slot.user = tenant;
  if (slot.user != tenant) slot.shared = true;
  const std::chrono::seconds setting = stay_of(slot);
  std::chrono::seconds stay = stream.keep_alive().value_or(setting);
  if (slot.shared) stay = std::max(stay, setting);
  slot.keep_alive_until_ns = later(parts_.clock.monotonic_ns(), stay);
}

bool Supervisor::may_evict(const Slot& slot) const {
  return is_idle(slot) && !slot.pinned;
}

void Supervisor::expire(Slot& slot, std::int64_t now_ns) {
  if (!may_evict(slot)) return;
  if (std::exchange(slot.unload_ordered, false)) {
    evict(slot, ledger::unload_reason::kByOrder);
  } else if (now_ns >= slot.keep_alive_until_ns) {
    evict(slot, ledger::unload_reason::kExpired);
  }
}

void Supervisor::keep_residence(std::int64_t now_ns) {
  for (auto& [name, slot] : slots_) {
    if (slot->phase == Phase::kCold && slot->waiting.empty()) slot->unload_ordered = false;
    expire(*slot, now_ns);
    publish_residence(*slot);
    const std::int64_t since = std::max(slot->load_began_ns, slot->logged_ns);
    if (slot->phase != Phase::kLoading || !slot->link || now_ns - since < kLogNs) continue;
    slot->logged_ns = now_ns;
    log::info("a model is still loading",
              {{"model", name},
               {"percent", static_cast<int>(100 * slot->link->load_fraction())},
               {"seconds", (now_ns - slot->load_began_ns) / kSecondNs}});
  }
}

void Supervisor::publish_residence(const Slot& slot) {
  const std::int64_t now = parts_.clock.monotonic_ns();
  const auto wall = [&](std::int64_t ns) {
    return (parts_.clock.wall_ns() + ns - now) / kSecondNs;
  };
  Residence residence;
  residence.pinned = slot.pinned;
  residence.unloading = slot.unload_ordered;
  if (is_idle(slot)) {
    residence.idle_unix_s = wall(slot.last_used_ns);
    const bool ever = !slot.pinned && slot.keep_alive_until_ns != kForeverNs;
    if (ever) residence.expires_unix_s = wall(slot.keep_alive_until_ns);
  }
  if (slot.failures.must_wait(now)) {
    residence.retry_seconds = slot.failures.refusal(now).wait->estimate_seconds;
  }
  parts_.view.set_residence(slot.name, residence);
}

// ---- orders -------------------------------------------------------------------------------------

void Supervisor::order(const ModelOrder& order, std::shared_ptr<Answer<ModelEntry>> answer) {
  if (refusing_) {
    answer->give(*refusing_);
    return;
  }
  Slot& slot = slot_of(order.model);
  switch (order.what) {
    case ModelOrder::What::kLoad:
      order_load(slot, answer);
      break;
    case ModelOrder::What::kUnload:
      order_unload(slot, order.force);
      break;
    case ModelOrder::What::kPin:
      slot.pinned = true;
      slot.unload_ordered = false;
      break;
    case ModelOrder::What::kUnpin:
      order_unpin(slot);
      break;
  }
  publish(slot);
  publish_residence(slot);
  const auto entry = parts_.view.entry(order.model);
  answer->give(entry ? Result<ModelEntry>(*entry)
                     : Result<ModelEntry>(Error{Code::kNotFound, "the model's file is gone"}));
}

// Somebody must wait for it, or what stops would not be started again: an answer that nobody reads.
void Supervisor::order_load(Slot& slot, const std::shared_ptr<Answer<ModelEntry>>& answer) {
  slot.unload_ordered = false;
  if (slot.phase == Phase::kReady) {
    const std::int64_t stay = later(parts_.clock.monotonic_ns(), kOrderedStay);
    slot.keep_alive_until_ns = std::max(slot.keep_alive_until_ns, stay);
    return;
  }
  slot.by_order = true;
  slot.failures.forget();
  if (slot.load_waiters.empty()) {
    slot.load_waiters.push_back(std::make_shared<Answer<ModelEntry>>());
  }
  const auto waiter = slot.load_waiters.front();
  want(slot);
  const auto at_once = waiter->wait_for(std::chrono::milliseconds(0));
  if (at_once && !*at_once) answer->give(at_once->error());  // no room, no such file
}

void Supervisor::order_unload(Slot& slot, bool force) {
  slot.by_order = false;
  if (force) {
    slot.pinned = slot.unload_ordered = false;
    end_streams_of(slot);
  } else if (slot.phase == Phase::kLoading && slot.waiting.empty()) {
    abort_waiting(slot, {Code::kCancelled, "an operator unloaded the model while it was loaded"});
    evict(slot, ledger::unload_reason::kByOrder);
  } else if (slot.phase == Phase::kReady || !slot.waiting.empty()) {
    slot.unload_ordered = true;
    expire(slot, parts_.clock.monotonic_ns());
  } else if (slot.phase == Phase::kWaitingForRoom) {
    slot.phase = Phase::kCold;
    abort_waiting(slot, {Code::kCancelled, "an operator wants the model unloaded"});
  } else if (slot.phase == Phase::kStopping) {  // and would be loaded again
    abort_waiting(slot, {Code::kCancelled, "an operator wants the model unloaded"});
  }
}

void Supervisor::end_streams_of(Slot& slot) {
  const Error why{Code::kShuttingDown, "an operator has unloaded the model; try again later"};
  abort_waiting(slot, why);
  if (slot.phase == Phase::kStopping) {  // those that its last worker had would go on
    for (auto& [id, running] : running_) {
      if (running.slot == &slot) running.stream->abort(why);
    }
  }
  if (slot.phase == Phase::kWaitingForRoom) slot.phase = Phase::kCold;
  if (slot.phase != Phase::kLoading && slot.phase != Phase::kReady) return;
  decide(ledger::decision_kind::kEviction, ledger::decision_outcome::kUnloaded,
         ledger::unload_reason::kByOrder, slot);
  const bool idle = is_idle(slot);
  if (idle || slot.phase == Phase::kLoading) return stop(slot, ledger::unload_reason::kByOrder);
  log::info("unloading a model that is in use",
            {{"model", slot.name}, {"requests", slot.link->outstanding()}});
  slot.phase = Phase::kStopping;
  slot.stop_began_ns = parts_.clock.monotonic_ns();
  slot.unload_reason = ledger::unload_reason::kByOrder;
  slot.link->kill(why, WorkerLink::Streams::kEnd);
}

void Supervisor::order_unpin(Slot& slot) {
  slot.pinned = false;
  const bool over = parts_.clock.monotonic_ns() >= slot.keep_alive_until_ns;
  if (may_evict(slot) && over) evict(slot, ledger::unload_reason::kUnpinned);
}

void Supervisor::preload() {
  if (refusing_) return;
  for (const std::string& name : parts_.options.preload) {
    const std::string& model = real_name(name);
    if (!catalogue_.models.contains(model)) {
      log::warn("a model to be loaded at the start is not in the catalogue", {{"model", model}});
      continue;
    }
    Slot& slot = slot_of(model);
    slot.by_order = true;
    want(slot);
  }
}

// ---- loads that failed --------------------------------------------------------------------------

void Supervisor::note_failure(Slot& slot, const Error& error) {
  slot.by_order = false;
  const auto entry = catalogue_.models.find(slot.name);
  std::vector<os::FileInfo> parts;
  if (slot.files) {
    parts = slot.files->parts;
  } else if (entry != catalogue_.models.end()) {  // its worker was not even started
    if (const auto files = open_model(parts_.fs, entry->second)) parts = (*files)->parts;
  }
  slot.failures.note(error, std::move(parts), slot.failed_ns);
  publish_residence(slot);
}

// True: told at once why, and when it may be tried again.
bool Supervisor::refuse_failed(Slot& slot, StreamState& stream) {
  const std::int64_t now = parts_.clock.monotonic_ns();
  if (!slot.failures.must_wait(now)) return false;
  const auto entry = catalogue_.models.find(slot.name);
  if (entry != catalogue_.models.end()) {
    const auto files = open_model(parts_.fs, entry->second);
    const std::vector<os::FileInfo> none;
    if (!slot.failures.are_of(files ? (*files)->parts : none)) {
      slot.failures.forget();  // it is another file
      return false;
    }
  }
  refuse(slot, stream, slot.failures.refusal(now));
  return true;
}

// A file that cannot be loaded takes the place of no model that works, whoever asks for it again.
bool Supervisor::may_make_room(const Slot& slot) const {
  return !slot.failures.is_lasting();
}

// ---- waiting ------------------------------------------------------------------------------------

ModelWait Supervisor::wait_of(const Slot& slot, std::size_t position) const {
  ModelWait wait;
  wait.position = static_cast<std::uint32_t>(position);
  if (slot.phase == Phase::kStopping) wait.state = "unloading";  // the last one of its workers
  // Before its need is known it waits for nobody else.
  const bool planned = slot.room.planning == 0;
  if (slot.phase == Phase::kWaitingForRoom && planned) wait.state = "waiting_for_room";
  if (wait.state.empty()) wait.state = "loading";
  const std::int64_t so_far = parts_.clock.monotonic_ns() - slot.load_began_ns;
  if (slot.phase == Phase::kStopping) return wait;
  wait.seconds = static_cast<std::uint32_t>(so_far / kSecondNs);
  if (slot.phase != Phase::kLoading || !slot.link) return wait;
  wait.fraction = std::clamp(slot.link->load_fraction(), 0.0F, 1.0F);
  if (wait.fraction >= kFractionTelling) {
    const double rest =
        (1.0 - static_cast<double>(wait.fraction)) / static_cast<double>(wait.fraction);
    wait.estimate_seconds =
        whole_seconds(static_cast<std::int64_t>(static_cast<double>(so_far) * rest));
  } else if (slot.last_load_ns > so_far) {
    wait.estimate_seconds = whole_seconds(slot.last_load_ns - so_far);
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
    if (found == running_.end() || found->second.handed_over) continue;
    Slot& slot = *found->second.slot;
    const std::shared_ptr<StreamState> stream = found->second.stream;
    const auto place = std::find(slot.waiting.begin(), slot.waiting.end(), stream);
    if (slot.phase == Phase::kReady || stream->has_begun() || place == slot.waiting.end()) continue;
    const auto before = static_cast<std::size_t>(place - slot.waiting.begin());
    slot.waiting.erase(place);
    refuse(slot, *stream,
           Error{Code::kLoading, "model '" + slot.name +
                                     "' is not ready yet; it goes on loading: try again later, or "
                                     "wait longer (X-Aioss-Load-Wait)"}
               .with_wait(wait_of(slot, before)));
  }
}

void Supervisor::tell_waiting(std::int64_t now_ns) {
  if (now_ns - told_ns_ < kTellNs) return;
  told_ns_ = now_ns;
  for (auto& [name, slot] : slots_) {
    if (slot->phase == Phase::kReady || slot->phase == Phase::kCold) continue;
    for (std::size_t i = 0; i < slot->waiting.size(); ++i) {
      slot->waiting[i]->set_model_wait(wait_of(*slot, i));
    }
  }
}

}  // namespace aioss::runtime
