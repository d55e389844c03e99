// How a model that is wanted comes to have room: what it needs is planned, others are unloaded if
// they must be, and only when all of it is leased its worker is started. What cannot have room is
// told so before anything is touched.
#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/log.h"
#include "base/strings.h"
#include "runtime/planning.h"
#include "runtime/records.h"
#include "runtime/supervisor.h"

namespace aioss::runtime {
namespace {

// Of a model whose need is guessed: tables, threads and buffers of an engine that is not known.
constexpr std::uint64_t kOverheadGuess = std::uint64_t{64} << 20;
// A model that was loaded and that nobody has used yet is left alone for so long.
constexpr std::int64_t kJustLoadedNs = 2'000'000'000;
// One that waited for room that was on its way, and finds it busy, waits on for so long.
constexpr std::int64_t kHopeNs = 10'000'000'000;
constexpr std::size_t kHoldersTold = 4;  // in an error

const std::string kHost(memory::kHost);

std::uint64_t less(std::uint64_t a, std::uint64_t b) {
  return a - std::min(a, b);
}

ModelPlan guess(const OpenModel& files) {
  ModelPlan plan;
  plan.needs.weights = files.bytes();
  plan.needs.overhead = kOverheadGuess;
  return plan;
}

std::string holders_of(const memory::Choice& choice) {
  std::string text;
  for (std::size_t i = 0; i < choice.judged.size() && i < kHoldersTold; ++i) {
    const memory::Candidate& one = choice.judged[i].candidate;
    text += (i > 0 ? ", '" : "'") + one.name + "' has " + human_bytes(one.bytes);
    if (one.stays != memory::Stays::kNo) text += " (" + std::string(name(one.stays)) + ")";
  }
  if (choice.judged.size() > kHoldersTold) text += ", …";
  return text;
}

}  // namespace

// ---- planning -----------------------------------------------------------------------------------

void Supervisor::plan(Slot& slot) {
  ASSERT(slot.phase == Phase::kWaitingForRoom);
  slot.room.turn = 0;
  slot.room.waits_since_ns = 0;
  room_changed_ = true;
  // Answers that have begun go on in the room that their worker had, before anybody else.
  if (has_begun_waiting(slot) && slot.room.plan) return;
  slot.room.turn = ++turns_;
  slot.room.committed.clear();
  slot.room.plan.reset();
  slot.room.planning = ++plans_;
  const auto entry = catalogue_.models.find(slot.name);
  if (entry == catalogue_.models.end()) {
    return fail_load(slot, {Code::kNotFound, "there is no model '" + slot.name + "'"});
  }
  auto files = open_model(parts_.fs, entry->second);
  if (!files) return fail_load(slot, std::move(files).error());
  slot.settings = entry->second.settings;
  slot.room.wanted = wanted_of(entry->second, parts_.options);
  slot.room.parts = (*files)->parts;
  if (parts_.planner == nullptr) return on_planned(slot.name, plans_, guess(**files));
  if (plans_pending_ >= kPlansMax) {
    const Error busy{Code::kBusy, "too many models are being loaded; try again later"};
    return refuse_waiting(slot, busy);
  }
  ++plans_pending_;
  parts_.planner->plan(
      *files, slot.room.wanted,
      [desk = parts_.desk, name = slot.name, number = plans_](Result<ModelPlan> result) {
        desk->post([name, number, result = std::move(result)](Supervisor& supervisor) {
          --supervisor.plans_pending_;
          supervisor.on_planned(name, number, result);
        });
      });
}

void Supervisor::on_planned(const std::string& model, std::uint64_t number,
                            Result<ModelPlan> plan) {
  Slot& slot = slot_of(model);
  if (slot.room.planning != number || slot.phase != Phase::kWaitingForRoom) return;
  slot.room.planning = 0;
  if (!plan) return fail_load(slot, std::move(plan).error());
  if (const Status small = within_own_limit(slot, *plan); !small) {
    return fail_load(slot, small.error());
  }
  slot.room.plan = std::move(*plan);
  room_changed_ = true;
}

bool Supervisor::is_as_planned(const Slot& slot, const CatalogueEntry& entry,
                               const OpenModel& files) const {
  return slot.room.wanted == wanted_of(entry, parts_.options) &&
         std::equal(files.parts.begin(), files.parts.end(), slot.room.parts.begin(),
                    slot.room.parts.end(), is_same_file);
}

// Its files or settings are others by now: what was leased was for something else.
void Supervisor::plan_again(Slot& slot) {
  slot.phase = Phase::kWaitingForRoom;
  slot.files.reset();
  slot.room.plan.reset();
  plan(slot);
}

// max_bytes of the model's own settings.
Status Supervisor::within_own_limit(const Slot& slot, const ModelPlan& plan) const {
  const auto most = own_settings(slot.name).max_bytes;
  const std::uint64_t needs = committed(plan.needs).total();
  if (!most || needs <= *most) return ok();
  return Error{Code::kNoMemory,
               "model '" + slot.name + "' needs " + human_bytes(needs) +
                   " of memory, and its max_bytes allows " + human_bytes(*most) +
                   "; take a smaller ctx or parallel for it, or a larger max_bytes"};
}

// ---- turns --------------------------------------------------------------------------------------

std::vector<Supervisor::Slot*> Supervisor::waiting_for_room() {
  std::vector<Slot*> waiting;
  for (auto& [name, slot] : slots_) {
    if (slot->phase == Phase::kWaitingForRoom && slot->room.plan) waiting.push_back(slot.get());
  }
  std::stable_sort(waiting.begin(), waiting.end(),
                   [](const Slot* a, const Slot* b) { return a->room.turn < b->room.turn; });
  return waiting;
}

// In the order in which they came. None overtakes one whose room is on its way: a large one would
// wait for ever.
void Supervisor::admit_waiting() {
  if (refusing_) return;
  const std::vector<Slot*> waiting = waiting_for_room();
  if (waiting.empty()) return;
  update_books();
  for (Slot* slot : waiting) {
    if (!admit(*slot) && !slot->room.hopes) return;
  }
}

// True if it waits no more: it is started, or turned away.
bool Supervisor::admit(Slot& slot) {
  if (take_room(slot)) {
    start(slot);
    return true;
  }
  if (!make_room(slot)) return true;
  if (slot.room.waits_since_ns == 0) slot.room.waits_since_ns = parts_.clock.monotonic_ns();
  return false;
}

bool Supervisor::take_room(Slot& slot) {
  if (links() >= parts_.options.workers_max) return false;
  if (!slot.room.committed.empty()) return true;  // that of its last worker: leave_room()
  const ModelPlan& plan = *slot.room.plan;
  const std::uint64_t shortfall = shortfall_of(slot);
  if (shortfall > 0 && plan.device == kHost && kept_prefixes() >= shortfall) {
    drop_kept_prefixes(shortfall);
  }
  auto leases = pool_.lease_all(plan.device, slot.name, committed(plan.needs));
  if (!leases) return false;
  slot.room.committed = std::move(*leases);
  return true;
}

// What is free now lacks so much.
std::uint64_t Supervisor::shortfall_of(const Slot& slot) const {
  const memory::Balance balance = pool_.balance(slot.room.plan->device);
  const std::uint64_t needs = committed(slot.room.plan->needs).total();
  return balance.over > 0 ? std::max(needs, needs + balance.over) : less(needs, balance.free);
}

// What is being freed already is not missing, and what is kept for models that do not run gives
// way.
Supervisor::Missing Supervisor::missing_for(const Slot& slot) const {
  const std::string& device = slot.room.plan->device;
  std::uint64_t coming = device == kHost ? kept_prefixes() : 0;
  std::size_t workers = links() + 1, leaving = 0;
  for (const auto& [name, other] : slots_) {
    // One with answers that have begun starts again at once.
    if (other->phase != Phase::kStopping || !other->link || has_begun_waiting(*other)) continue;
    coming += pool_.used_by(device, name);
    ++leaving;
  }
  Missing missing;
  missing.bytes = less(shortfall_of(slot), coming);
  workers -= std::min(workers, leaving);
  missing.workers = less(workers, parts_.options.workers_max);
  return missing;
}

// True if it waits for room that will come, or may. Otherwise it is turned away.
bool Supervisor::make_room(Slot& slot) {
  slot.room.hopes = false;
  const Missing missing = missing_for(slot);
  if (missing.bytes == 0 && missing.workers == 0) return true;
  const memory::Wanted wanted{missing.bytes, missing.workers};
  std::vector<memory::Candidate> known = candidates(slot.room.plan->device, &slot);
  const memory::Choice choice = memory::choose(known, wanted);
  if (!may_make_room(slot)) {
    turn_away(slot, missing, choice);
    return false;
  }
  if (choice.enough) {
    const std::uint64_t needs = committed(slot.room.plan->needs).total();
    evict_chosen(choice, ledger::unload_reason::kReplaced,
                 "for " + slot.name + " bytes=" + std::to_string(needs) +
                     " missing=" + std::to_string(missing.bytes));
    return true;
  }
  slot.room.hopes = true;
  // What is being loaded, or just was, can be asked again in a moment: it may be idle then.
  for (memory::Candidate& one : known) {
    const bool passes =
        one.stays == memory::Stays::kChanging || one.stays == memory::Stays::kJustLoaded;
    if (passes) one.stays = memory::Stays::kNo;
  }
  if (memory::choose(std::move(known), wanted).enough) return true;
  const std::int64_t since = slot.room.waits_since_ns;
  if (since != 0 && parts_.clock.monotonic_ns() - since < kHopeNs) return true;
  turn_away(slot, missing, choice);
  return false;
}

// ---- who has to go ------------------------------------------------------------------------------

memory::Stays Supervisor::stays(const Slot& slot) const {
  if (slot.phase != Phase::kReady) return memory::Stays::kChanging;
  if (slot.pinned) return memory::Stays::kPinned;
  if (!is_idle(slot)) return memory::Stays::kBusy;
  const bool just = parts_.clock.monotonic_ns() - slot.room.ready_ns < kJustLoadedNs;
  if (just && !slot.room.was_used) return memory::Stays::kJustLoaded;
  return memory::Stays::kNo;
}

// Those that are leaving already are none.
std::vector<memory::Candidate> Supervisor::candidates(const std::string& device,
                                                      const Slot* but) const {
  std::vector<memory::Candidate> list;
  const std::int64_t now = parts_.clock.monotonic_ns();
  for (const auto& [name, slot] : slots_) {
    // One whose files are being sealed has its room, and no worker yet.
    if (slot.get() == but || (!slot->link && slot->phase != Phase::kLoading)) continue;
    if (slot->phase == Phase::kStopping && !has_begun_waiting(*slot)) continue;
    memory::Candidate one;
    one.name = name;
    one.bytes = pool_.used_by(device, name);
    one.unused_ns = now - slot->last_used_ns;
    one.restore_ns = slot->room.restore_ns;
    one.priority = priority_of(*slot);
    one.stays = stays(*slot);
    list.push_back(std::move(one));
  }
  return list;
}

void Supervisor::evict_chosen(const memory::Choice& choice, std::string_view reason,
                              const std::string& why) {
  std::vector<std::string> details{why};
  for (const memory::Judged& one : choice.judged) {
    if (details.size() < records::kDecisionDetailsMax) details.push_back(describe(one));
  }
  for (const memory::Judged& one : choice.judged) {
    if (one.goes) evict(slot_of(one.candidate.name), reason, details);
  }
}

// Of models that have no worker: nobody needs them now.
std::uint64_t Supervisor::kept_prefixes() const {
  std::uint64_t bytes = 0;
  for (const auto& [name, slot] : slots_) {
    if (!slot->link) bytes += slot->room.prefixes.bytes() + slot->room.prefixes.beyond();
  }
  return bytes;
}

// At least so many bytes of them, those first whose models were not used for longest.
std::uint64_t Supervisor::drop_kept_prefixes(std::uint64_t bytes) {
  std::uint64_t dropped = 0;
  while (dropped < bytes) {
    Slot* oldest = nullptr;
    for (auto& [name, slot] : slots_) {
      if (slot->link || slot->room.prefixes.bytes() + slot->room.prefixes.beyond() == 0) continue;
      if (oldest == nullptr || slot->last_used_ns < oldest->last_used_ns) oldest = slot.get();
    }
    if (oldest == nullptr) break;
    const memory::Lease lease = std::move(oldest->room.prefixes);
    dropped += lease.bytes() + lease.beyond();
    prefixes_.drop(oldest->name);
    log::info("what was computed of prompts gives way",
              {{"model", oldest->name}, {"bytes", lease.bytes() + lease.beyond()}});
  }
  return dropped;
}

// ---- no room ------------------------------------------------------------------------------------

void Supervisor::turn_away(Slot& slot, const Missing& missing, const memory::Choice& choice) {
  Error error{Code::kBusy, "all " + std::to_string(parts_.options.workers_max) +
                               " loaded models are busy or pinned; try again later"};
  if (!may_make_room(slot)) {
    error = slot.failures.refusal(parts_.clock.monotonic_ns());
  } else if (missing.bytes > 0) {
    const std::uint64_t needs = committed(slot.room.plan->needs).total();
    const memory::Balance balance = pool_.balance(slot.room.plan->device);
    std::string text = "model '" + slot.name + "' needs " + human_bytes(needs) + " of memory; " +
                       human_bytes(balance.free) + " of " + human_bytes(balance.limit) +
                       " are free";
    if (!choice.judged.empty()) text += ", and " + holders_of(choice);
    text += needs > balance.limit ? "; take a smaller quantization, a smaller --ctx, a smaller "
                                    "--parallel, or a larger --memory-max"
                                  : "; try again when others are idle, or take a smaller "
                                    "quantization, a smaller --ctx or a smaller --parallel";
    error = {Code::kNoMemory, text};
  }
  log::warn("a model is not loaded", {{"model", slot.name}, {"reason", error.message}});
  slot.room.committed.clear();
  if (!slot.load_waiters.empty()) {  // somebody ordered it, whom no stream tells
    slot.last_error = error;
    decide(ledger::decision_kind::kLoad, ledger::decision_outcome::kRefused, info(error.code).name,
           slot);
  }
  refuse_waiting(slot, error);
}

// It is not loaded now: whoever waits is told why.
void Supervisor::refuse_waiting(Slot& slot, const Error& error) {
  slot.phase = Phase::kCold;
  slot.by_order = false;
  publish(slot);
  for (const auto& stream : std::exchange(slot.waiting, {})) refuse(slot, *stream, error);
  abort_waiting(slot, error);
}

}  // namespace aioss::runtime
