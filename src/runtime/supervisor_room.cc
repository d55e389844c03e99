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

void Supervisor::plan(Life& life) {
  const std::string& model = life.model.name;
  ASSERT(life.phase == Phase::kWaitingForRoom);
  life.room.turn = 0;
  life.room.waits_since_ns = 0;
  room_changed_ = true;
  // Answers that have begun go on in the room that their worker had, before anybody else.
  if (life.model.has_begun_waiting() && life.room.plan) return;
  life.room.turn = ++turns_;
  life.room.committed.clear();
  life.room.plan.reset();
  life.room.planning = true;
  const CatalogueEntry* const entry = models_.entry(model);
  if (entry == nullptr) {
    return fail_load(life, {Code::kNotFound, "there is no model '" + model + "'"});
  }
  auto files = open_model(parts_.fs, *entry);
  if (!files) return fail_load(life, std::move(files).error());
  life.settings = entry->settings;
  life.room.wanted = wanted_of(*entry, parts_.options);
  life.room.parts = (*files)->parts;
  if (parts_.planner == nullptr) return on_planned(life.number, guess(**files));
  if (plans_pending_ >= kPlansMax) {
    const Error busy{Code::kBusy, "too many models are being loaded; try again later"};
    return refuse_waiting(life, busy);
  }
  ++plans_pending_;
  parts_.planner->plan(*files, life.room.wanted,
                       [desk = parts_.desk, number = life.number](Result<ModelPlan> result) {
                         desk->post([number, result = std::move(result)](Supervisor& supervisor) {
                           --supervisor.plans_pending_;
                           supervisor.on_planned(number, result);
                         });
                       });
}

void Supervisor::on_planned(std::uint64_t number, Result<ModelPlan> plan) {
  Life* const found = models_.life(number);
  if (found == nullptr || !found->room.planning) return;
  Life& life = *found;
  life.room.planning = false;
  if (!plan) return fail_load(life, std::move(plan).error());
  if (const Status small = within_own_limit(life.model, *plan); !small) {
    return fail_load(life, small.error());
  }
  life.room.plan = std::move(*plan);
  room_changed_ = true;
}

bool Supervisor::is_as_planned(const Life& life, const CatalogueEntry& entry,
                               const OpenModel& files) const {
  return life.room.wanted == wanted_of(entry, parts_.options) &&
         std::equal(files.parts.begin(), files.parts.end(), life.room.parts.begin(),
                    life.room.parts.end(), is_same_file);
}

// Its files or settings are others by now: what was leased was for something else.
void Supervisor::plan_again(Life& life) {
  life.phase = Phase::kWaitingForRoom;
  life.files.reset();
  life.outdated = false;
  life.room.plan.reset();
  plan(life);
}

// max_bytes of the model's own settings.
Status Supervisor::within_own_limit(const Model& model, const ModelPlan& plan) const {
  const auto most = models_.settings_of(model.name).max_bytes;
  const std::uint64_t needs = committed(plan.needs).total();
  if (!most || needs <= *most) return ok();
  return Error{Code::kNoMemory,
               "model '" + model.name + "' needs " + human_bytes(needs) +
                   " of memory, and its max_bytes allows " + human_bytes(*most) +
                   "; take a smaller ctx or parallel for it, or a larger max_bytes"};
}

// ---- turns --------------------------------------------------------------------------------------

std::vector<Life*> Supervisor::waiting_for_room() const {
  std::vector<Life*> waiting = models_.lives();
  std::erase_if(waiting, [](const Life* life) {
    return life->phase != Phase::kWaitingForRoom || !life->room.plan;
  });
  std::stable_sort(waiting.begin(), waiting.end(),
                   [](const Life* a, const Life* b) { return a->room.turn < b->room.turn; });
  return waiting;
}

// In the order in which they came. None overtakes one whose room is on its way: a large one would
// wait for ever.
void Supervisor::admit_waiting() {
  if (refusing_) return;
  const std::vector<Life*> waiting = waiting_for_room();
  if (waiting.empty()) return;
  update_books();
  for (Life* const life : waiting) {
    if (!admit(*life) && !life->room.hopes) return;
  }
}

// True if it waits no more: it is started, or turned away.
bool Supervisor::admit(Life& life) {
  if (take_room(life)) {
    start(life);
    return true;
  }
  if (!make_room(life)) return true;
  if (life.room.waits_since_ns == 0) life.room.waits_since_ns = parts_.clock.monotonic_ns();
  return false;
}

bool Supervisor::take_room(Life& life) {
  if (models_.workers() >= parts_.options.workers_max) return false;
  if (!life.room.committed.empty()) return true;  // that of its last worker: leave_room()
  const ModelPlan& plan = *life.room.plan;
  const std::uint64_t shortfall = shortfall_of(life);
  if (shortfall > 0 && plan.device == kHost && kept_prefixes() >= shortfall) {
    drop_kept_prefixes(shortfall);
  }
  auto leases = pool_.lease_all(plan.device, life.holder, committed(plan.needs));
  if (!leases) return false;
  life.room.committed = std::move(*leases);
  return true;
}

// What is free now lacks so much.
std::uint64_t Supervisor::shortfall_of(const Life& life) const {
  const memory::Balance balance = pool_.balance(life.room.plan->device);
  const std::uint64_t needs = committed(life.room.plan->needs).total();
  return balance.over > 0 ? std::max(needs, needs + balance.over) : less(needs, balance.free);
}

// What is being freed already is not missing, and what is kept for models that do not run gives
// way.
Supervisor::Missing Supervisor::missing_for(const Life& life) const {
  const std::string& device = life.room.plan->device;
  std::uint64_t coming = device == kHost ? kept_prefixes() : 0;
  std::size_t workers = models_.workers() + 1, leaving = 0;
  for (const Life* const other : models_.lives()) {
    // One with answers that have begun starts again at once.
    if (other->phase != Phase::kStopping || !other->link || other->model.has_begun_waiting())
      continue;
    coming += pool_.used_by(device, other->holder);
    ++leaving;
  }
  Missing missing;
  missing.bytes = less(shortfall_of(life), coming);
  workers -= std::min(workers, leaving);
  missing.workers = less(workers, parts_.options.workers_max);
  return missing;
}

// True if it waits for room that will come, or may. Otherwise it is turned away.
bool Supervisor::make_room(Life& life) {
  life.room.hopes = false;
  const Missing missing = missing_for(life);
  if (missing.bytes == 0 && missing.workers == 0) return true;
  const memory::Wanted wanted{missing.bytes, missing.workers};
  std::vector<memory::Candidate> known = candidates(life.room.plan->device, &life);
  const memory::Choice choice = memory::choose(known, wanted);
  if (!may_make_room(life.model)) {
    turn_away(life, missing, choice);
    return false;
  }
  if (choice.enough) {
    const std::uint64_t needs = committed(life.room.plan->needs).total();
    evict_chosen(choice, ledger::unload_reason::kReplaced,
                 "for " + life.model.name + " bytes=" + std::to_string(needs) +
                     " missing=" + std::to_string(missing.bytes));
    return true;
  }
  life.room.hopes = true;
  // What is being loaded, or just was, can be asked again in a moment: it may be idle then.
  for (memory::Candidate& one : known) {
    const bool passes =
        one.stays == memory::Stays::kChanging || one.stays == memory::Stays::kJustLoaded;
    if (passes) one.stays = memory::Stays::kNo;
  }
  if (memory::choose(std::move(known), wanted).enough) return true;
  const std::int64_t since = life.room.waits_since_ns;
  if (since != 0 && parts_.clock.monotonic_ns() - since < kHopeNs) return true;
  turn_away(life, missing, choice);
  return false;
}

// ---- who has to go ------------------------------------------------------------------------------

memory::Stays Supervisor::stays(const Life& life) const {
  if (life.phase != Phase::kReady) return memory::Stays::kChanging;
  if (life.model.pinned) return memory::Stays::kPinned;
  if (!life.is_idle()) return memory::Stays::kBusy;
  const bool just = parts_.clock.monotonic_ns() - life.room.ready_ns < kJustLoadedNs;
  if (just && !life.room.was_used) return memory::Stays::kJustLoaded;
  return memory::Stays::kNo;
}

// Those that are leaving already are none.
std::vector<memory::Candidate> Supervisor::candidates(const std::string& device,
                                                      const Life* but) const {
  std::vector<memory::Candidate> list;
  const std::int64_t now = parts_.clock.monotonic_ns();
  for (const Life* const life : models_.lives()) {
    // One whose files are being sealed has its room, and no worker yet.
    if (life == but || !life->has_worker_or_place()) continue;
    const Model& model = life->model;
    if (life->phase == Phase::kStopping && !model.has_begun_waiting()) continue;
    memory::Candidate one;
    one.name = life->holder;
    one.bytes = pool_.used_by(device, life->holder);
    one.unused_ns = now - model.last_used_ns;
    one.restore_ns = model.restore_ns;
    one.priority = models_.priority_of(model);
    one.stays = stays(*life);
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
    if (one.goes) evict(*models_.holder_life(one.candidate.name), reason, details);
  }
}

// Of models that have no worker: nobody needs them now.
std::uint64_t Supervisor::kept_prefixes() const {
  std::uint64_t bytes = 0;
  for (const auto& [name, model] : models_.models()) {
    if (!model->has_worker()) bytes += model->prefixes.bytes() + model->prefixes.beyond();
  }
  return bytes;
}

// At least so many bytes of them, those first whose models were not used for longest.
std::uint64_t Supervisor::drop_kept_prefixes(std::uint64_t bytes) {
  std::uint64_t dropped = 0;
  while (dropped < bytes) {
    Model* oldest = nullptr;
    for (const auto& [name, model] : models_.models()) {
      if (model->has_worker() || model->prefixes.bytes() + model->prefixes.beyond() == 0) continue;
      if (oldest == nullptr || model->last_used_ns < oldest->last_used_ns) oldest = model.get();
    }
    if (oldest == nullptr) break;
    const memory::Lease lease = std::move(oldest->prefixes);
    dropped += lease.bytes() + lease.beyond();
    prefixes_.drop(oldest->name);
    log::info("what was computed of prompts gives way",
              {{"model", oldest->name}, {"bytes", lease.bytes() + lease.beyond()}});
  }
  return dropped;
}

// ---- no room ------------------------------------------------------------------------------------

void Supervisor::turn_away(Life& life, const Missing& missing, const memory::Choice& choice) {
  Model& model = life.model;
  Error error{Code::kBusy, "all " + std::to_string(parts_.options.workers_max) +
                               " loaded models are busy or pinned; try again later"};
  if (!may_make_room(life.model)) {
    error = model.failures.refusal(parts_.clock.monotonic_ns());
  } else if (missing.bytes > 0) {
    const std::uint64_t needs = committed(life.room.plan->needs).total();
    const memory::Balance balance = pool_.balance(life.room.plan->device);
    std::string text = "model '" + model.name + "' needs " + human_bytes(needs) + " of memory; " +
                       human_bytes(balance.free) + " of " + human_bytes(balance.limit) +
                       " are free";
    if (!choice.judged.empty()) text += ", and " + holders_of(choice);
    text += needs > balance.limit ? "; take a smaller quantization, a smaller --ctx, a smaller "
                                    "--parallel, or a larger --memory-max"
                                  : "; try again when others are idle, or take a smaller "
                                    "quantization, a smaller --ctx or a smaller --parallel";
    error = {Code::kNoMemory, text};
  }
  log::warn("a model is not loaded", {{"model", model.name}, {"reason", error.message}});
  life.room.committed.clear();
  if (!model.load_waiters.empty()) {  // somebody ordered it, whom no stream tells
    model.last_error = error;
    decide(ledger::decision_kind::kLoad, ledger::decision_outcome::kRefused, info(error.code).name,
           model);
  }
  refuse_waiting(life, error);
}

// It is not loaded now: whoever waits is told why.
void Supervisor::refuse_waiting(Life& life, const Error& error) {
  Model& model = life.model;
  models_.end_life(life);
  model.by_order = false;
  publish(model);
  for (const auto& stream : std::exchange(model.waiting, {})) refuse(model, *stream, error);
  abort_waiting(model, error);
}

}  // namespace aioss::runtime
