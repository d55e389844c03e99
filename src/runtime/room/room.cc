#include "runtime/room/room.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/assert.h"
#include "base/log.h"
#include "base/strings.h"
#include "runtime/dry_runs/device_table.h"
#include "runtime/models/adapters.h"
#include "runtime/planning/planning.h"
#include "runtime/records/records.h"
#include "runtime/room/residency.h"

namespace aioss::runtime {
namespace {

// Of a model whose need is guessed: tables, threads and buffers of an engine that is not known.
constexpr std::uint64_t kOverheadGuess = std::uint64_t{64} << 20;
// A model that was loaded and that nobody has used yet is left alone for so long.
constexpr std::int64_t kJustLoadedNs = 2'000'000'000;
// One that waited for room that was on its way, and finds it busy, waits on for so long.
constexpr std::int64_t kHopeNs = 10'000'000'000;
// One that comes while all are busy waits so long: the last request of one of them may be over.
constexpr std::int64_t kNotedNs = 500'000'000;
constexpr std::size_t kHoldersTold = 4;  // in an error

std::uint64_t less(std::uint64_t a, std::uint64_t b) {
  return a - std::min(a, b);
}

ModelPlan guess(const OpenModel& files) {
  ModelPlan plan;
  plan.needs.weights = files.bytes();
  plan.needs.overhead = kOverheadGuess;
  return plan;
}

bool waits(const Life& life) {
  const bool wants = life.phase == Phase::kWaitingForRoom || life.phase == Phase::kWaitingToWake;
  return wants && life.room.plan;
}

// For the record of a refusal. Of those that hold memory no times: who asks a thousand times a
// second is to be one record, not a thousand.
std::vector<std::string> details_of(std::uint64_t needs, const memory::Balance& balance,
                                    const memory::Choice& choice) {
  std::uint64_t evictable = 0;
  for (const memory::Judged& one : choice.judged) {
    if (one.candidate.stays == memory::Stays::kNo) evictable += one.candidate.bytes;
  }
  std::vector<std::string> lines{
      "needs=" + std::to_string(needs) + " free=" + std::to_string(balance.free) +
      " limit=" + std::to_string(balance.limit) + " evictable=" + std::to_string(evictable)};
  for (const memory::Judged& one : choice.judged) {
    if (lines.size() >= records::kDecisionDetailsMax) break;
    const memory::Candidate& of = one.candidate;
    const bool stays = of.stays != memory::Stays::kNo;
    lines.push_back(of.name + " bytes=" + std::to_string(of.bytes) + " " +
                    (stays ? std::string(memory::name(of.stays)) : "kept"));
  }
  return lines;
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

void Room::plan(Life& life) {
  const std::string& model = life.model.name;
  ASSERT(life.phase == Phase::kWaitingForRoom);
  life.room.turn = 0;
  life.room.waits_since_ns = life.room.busy_since_ns = 0;
  changed_ = true;
  // Answers that have begun go on in the room that their worker had, before anybody else.
  if (life.model.has_begun_waiting() && life.room.plan) {
    life.settings = models_.settings_of(model);  // start() sees to it that they are still those
    return;
  }
  life.room.turn = ++turns_;
  life.room.committed.clear();
  life.room.plan.reset();
  life.room.planning = true;
  const CatalogueEntry* const entry = models_.entry(model);
  if (entry == nullptr) {
    return parts_.host.fail_load(life, {Code::kNotFound, "there is no model '" + model + "'"});
  }
  auto files = open_model(parts_.fs, *entry);
  if (!files) return parts_.host.fail_load(life, std::move(files).error());
  life.settings = entry->settings;
  life.room.wanted = wanted_of(*entry, parts_.options);
  life.room.failed_plans.clear();
  life.room.places = Places(devices_for(*entry, parts_.options));
  life.room.parts = (*files)->parts;
  offer_place(life);
  if (parts_.planner == nullptr) return on_planned(life.number, guess(**files));
  ask_planner(life, std::move(*files));
}

void Room::ask_planner(Life& life, std::shared_ptr<const OpenModel> files) {
  if (plans_pending_ >= kPlansMax) {
    const Error busy{Code::kBusy, "too many models are being loaded; try again later"};
    return parts_.host.refuse_waiting(life, busy);
  }
  ++plans_pending_;
  parts_.planner->plan(std::move(files), life.room.wanted,
                       [this, post = parts_.post, number = life.number](Result<ModelPlan> result) {
                         post([this, number, result = std::move(result)] {
                           --plans_pending_;
                           on_planned(number, result);
                         });
                       });
}

void Room::on_planned(std::uint64_t number, Result<ModelPlan> plan) {
  Life* const found = models_.life(number);
  if (found == nullptr || !found->room.planning) return;
  Life& life = *found;
  life.room.planning = false;
  if (!plan && fails_on_device(life, plan.error())) return;
  if (!plan) return parts_.host.fail_load(life, std::move(plan).error());
  for (const auto& [device, why] : std::exchange(life.room.failed_plans, {})) {
    parts_.host.device_failed(life, device, why);
  }
  if (parts_.options.devices) parts_.options.devices->count_shared(*plan);
  if (plan_elsewhere(life, *plan)) return;
  if (const Status small = within_own_limit(life.model, *plan); !small) {
    return parts_.host.fail_load(life, small.error());
  }
  life.room.plan = std::move(*plan);
  changed_ = true;
}

// Where it is planned now, and how much room is there. Who chose by itself takes no other model's
// place there, and whoever was ordered there may.
void Room::offer_place(Life& life) const {
  PlanWanted& wanted = life.room.wanted;
  const Places& places = life.room.places;
  wanted.device = places.now();
  wanted.device_rooms.clear();
  if (!places.takes_what_fits()) return;
  for (const std::string& name : names_of_devices(wanted.device)) {
    const memory::Balance balance = pool_.balance(name);
    const std::uint64_t most = places.is_last() ? balance.limit : balance.free;
    wanted.device_rooms.push_back(std::min(most, ipc::kPlanBytesMax));
  }
}

// True if it does not fit there now, and is planned on the next of the devices that it may be on.
bool Room::plan_elsewhere(Life& life, const ModelPlan& plan) {
  if (life.room.places.is_last()) return false;
  const bool fits = std::all_of(plan.on_devices.begin(), plan.on_devices.end(),
                                [this](const ipc::DeviceNeeds& needs) {
                                  return needs.total() <= pool_.balance(needs.name).free;
                                });
  if (fits) return false;
  life.room.places.go_on();
  plan_there(life);
  return true;
}

// True if a device, or its driver, may be what failed: it is tried without. Where a driver does not
// begin, or a device is gone, that is held against it, but only once the model can be planned
// elsewhere. Not of what is to replace a model that works: that is at fault itself.
bool Room::fails_on_device(Life& life, const Error& error) {
  const std::string device = life.room.wanted.device;
  const auto& devices = parts_.options.devices;
  if (life.role == Life::Role::kComing || !may_be_of_device(error)) return false;
  if (!devices || !devices->knows(life.room.wanted.engine, device)) return false;
  if (error.field == ipc::kDeviceField) {
    life.room.failed_plans.push_back({device, error.message});
  }
  life.room.places.go_on_without_failed();
  plan_there(life);
  return true;
}

void Room::plan_there(Life& life) {
  const CatalogueEntry* const entry = models_.entry(life.model.name);
  auto files = entry == nullptr ? Error(Code::kNotFound, "the model is gone")
                                : open_model(parts_.fs, *entry);
  if (!files) return parts_.host.fail_load(life, std::move(files).error());
  life.room.planning = true;
  offer_place(life);
  ask_planner(life, std::move(*files));
}

bool Room::is_wanted_as_planned(const Life& life, const CatalogueEntry& entry) const {
  PlanWanted now = wanted_of(entry, parts_.options);
  if (!life.room.places.holds_among(devices_for(entry, parts_.options))) return false;
  now.device = life.room.wanted.device;
  now.device_rooms = life.room.wanted.device_rooms;
  return life.room.wanted == now;
}

bool Room::is_as_planned(const Life& life, const CatalogueEntry& entry,
                         const OpenModel& files) const {
  return is_wanted_as_planned(life, entry) &&
         std::equal(files.parts.begin(), files.parts.end(), life.room.parts.begin(),
                    life.room.parts.end(), is_same_file);
}

void Room::want_back(Life& life) {
  ASSERT(life.phase == Phase::kWaitingToWake && life.room.plan);
  life.room.turn = ++turns_;
  life.room.waits_since_ns = life.room.busy_since_ns = 0;
  life.room.hopes = false;
  changed_ = true;
}

// Its files or settings are others by now: what was leased was for something else.
void Room::plan_again(Life& life) {
  life.phase = Phase::kWaitingForRoom;
  life.files.reset();
  life.outdated = false;
  life.room.plan.reset();
  plan(life);
}

// max_bytes of the model's own settings.
Status Room::within_own_limit(const Model& model, const ModelPlan& plan) const {
  const auto most = models_.settings_of(model.name).max_bytes;
  const std::uint64_t needs = committed(plan.needs).total();
  if (!most || needs <= *most) return ok();
  return Error{Code::kNoMemory,
               "model '" + model.name + "' needs " + human_bytes(needs) +
                   " of memory, and its max_bytes allows " + human_bytes(*most) +
                   "; take a smaller ctx or parallel for it, or a larger max_bytes"};
}

// ---- turns --------------------------------------------------------------------------------------

std::vector<Life*> Room::waiting() const {
  std::vector<Life*> waiting = models_.lives();
  std::erase_if(waiting, [](const Life* life) { return !waits(*life); });
  std::stable_sort(waiting.begin(), waiting.end(),
                   [](const Life* a, const Life* b) { return a->room.turn < b->room.turn; });
  return waiting;
}

// In the order in which they came. None overtakes one whose room is on its way: a large one would
// wait for ever.
void Room::admit() {
  const std::vector<Life*> all = waiting();
  if (all.empty()) return;
  parts_.books.update();
  for (Life* const life : all) {
    if (!waits(*life)) continue;  // it made room for one before it
    if (!admit(*life) && !life->room.hopes) return;
  }
}

// True if it waits no more: it is started, or turned away.
bool Room::admit(Life& life) {
  if (take_room(life)) {
    parts_.host.start(life);
    return true;
  }
  if (!make_room(life)) return true;
  const bool is_on_its_way = life.room.busy_since_ns == 0;
  if (life.room.waits_since_ns == 0 && is_on_its_way) {
    life.room.waits_since_ns = parts_.clock.monotonic_ns();
  }
  return false;
}

bool Room::take_room(Life& life) {
  if (life.phase != Phase::kWaitingToWake) {
    if (models_.workers() >= parts_.options.workers_max) return false;
    if (!life.room.committed.empty()) return true;  // that of its last worker
  }
  const ModelPlan& plan = *life.room.plan;
  const std::uint64_t shortfall = shortfall_of(life, plan.device);
  if (shortfall > 0 && plan.device == kHostBook && parts_.books.kept_prefixes() >= shortfall) {
    parts_.books.drop_kept_prefixes(shortfall);
  }
  std::vector<memory::Lease> all;
  for (const auto& [book, amounts] : needs_of(life)) {
    auto leases = pool_.lease_all(book, life.holder, amounts);
    if (!leases) return false;  // and what was leased of other books goes back
    std::move(leases->begin(), leases->end(), std::back_inserter(all));
  }
  std::move(all.begin(), all.end(), std::back_inserter(life.room.committed));
  return true;
}

// What it has not leased yet, of each book; the host's first.
Room::NeedsOfBooks Room::needs_of(const Life& life) {
  const ModelPlan& plan = *life.room.plan;
  const bool wakes = life.phase == Phase::kWaitingToWake;
  NeedsOfBooks out;
  out.emplace_back(plan.device, wakes ? of_session(plan.needs) : committed(plan.needs));
  for (const ipc::DeviceNeeds& on : plan.on_devices) {
    memory::Needs needs;
    needs.weights = on.weights;
    needs.kv = on.kv;
    needs.compute = on.compute;
    out.emplace_back(on.name, wakes ? of_session(needs) : committed(needs));
  }
  return out;
}

std::uint64_t Room::needs_of(const Life& life, const std::string& book) {
  for (const auto& [name, amounts] : needs_of(life)) {
    if (name == book) return amounts.total();
  }
  return 0;
}

// The book that what it needs does not fit into; if it fits into all, the host's. Room is made in
// one after the other.
std::string Room::tight_book(const Life& life) const {
  for (const auto& [name, amounts] : needs_of(life)) {
    const memory::Balance balance = pool_.balance(name);
    if (balance.over > 0 || amounts.total() > balance.free) return name;
  }
  return life.room.plan->device;
}

// What is free now lacks so much.
std::uint64_t Room::shortfall_of(const Life& life, const std::string& book) const {
  const memory::Balance balance = pool_.balance(book);
  const std::uint64_t needs = needs_of(life, book);
  return balance.over > 0 ? std::max(needs, needs + balance.over) : less(needs, balance.free);
}

// What is being freed already is not missing, and what is kept for models that do not run gives
// way.
Room::Missing Room::missing_for(const Life& life) const {
  const std::string device = tight_book(life);
  std::uint64_t coming = device == kHostBook ? parts_.books.kept_prefixes() : 0;
  if (device == kHostBook && parts_.adapters != nullptr) coming += parts_.adapters->leaving();
  std::size_t workers = models_.workers() + (life.phase == Phase::kWaitingToWake ? 0 : 1),
              leaving = 0;
  for (const Life* const other : models_.lives()) {
    if (other->phase == Phase::kParking) coming += session_bytes(*other, device);
    if (other->phase != Phase::kStopping || !other->link) continue;
    // One with answers that have begun starts again at once.
    const bool is_followed = other->role == Life::Role::kServes &&
                             other->model.coming() == nullptr && other->model.has_begun_waiting();
    if (is_followed) continue;
    coming += pool_.used_by(device, other->holder);
    ++leaving;
  }
  Missing missing;
  missing.bytes = less(shortfall_of(life, device), coming);
  workers -= std::min(workers, leaving);
  missing.workers = less(workers, parts_.options.workers_max);
  return missing;
}

// Who chose its device by itself takes no other model's place there, also if it has filled since it
// was planned. True: it is planned on the next one; or it is gone, for it could not be.
bool Room::goes_elsewhere(Life& life) {
  if (life.phase != Phase::kWaitingForRoom || !life.room.plan) return false;
  ModelPlan plan = std::move(*std::exchange(life.room.plan, std::nullopt));
  life.room.hopes = true;  // others need not wait for its dry run
  if (plan_elsewhere(life, plan)) return true;
  life.room.hopes = false;
  life.room.plan = std::move(plan);
  return false;
}

// True if it waits for room that will come, or may. Otherwise it is turned away.
bool Room::make_room(Life& life) {
  life.room.hopes = false;
  const std::int64_t busy_since = std::exchange(life.room.busy_since_ns, 0);
  Missing missing = missing_for(life);
  if (missing.bytes == 0 && missing.workers == 0) return true;
  const std::uint64_t number = life.number;
  if (goes_elsewhere(life)) return models_.life(number) != nullptr;
  if (life.role == Life::Role::kComing) {
    // One that would find no room without the other either takes nothing away.
    if (!fits_alone(life)) {
      parts_.host.fail_load(life, {Code::kNoMemory, "it does not fit here, not even alone"});
    } else {
      parts_.host.has_no_room_beside(life);
    }
    return false;
  }
  std::vector<memory::Candidate> known = candidates(tight_book(life), &life);
  if (let_adapters_go(life, known, missing)) {
    missing = missing_for(life);
    if (missing.bytes == 0 && missing.workers == 0) return true;
  }
  const memory::Wanted wanted{missing.bytes, missing.workers};
  const memory::Choice choice = memory::choose(known, wanted);
  // A file that cannot be loaded takes the place of no model that works, whoever asks for it again.
  if (life.model.failures.is_lasting()) {
    refuse(life, missing, choice);
    return false;
  }
  if (choice.enough) {
    const std::uint64_t needs = needs_of(life, tight_book(life));
    evict_chosen(choice, ledger::unload_reason::kReplaced,
                 "for " + life.model.name + " bytes=" + std::to_string(needs) +
                     " missing=" + std::to_string(missing.bytes));
    return true;
  }
  life.room.hopes = true;
  if (may_hope(life, std::move(known), wanted, busy_since)) return true;
  refuse(life, missing, choice);
  return false;
}

bool Room::fits_alone(const Life& life) const {
  const NeedsOfBooks needs = needs_of(life);
  return std::all_of(needs.begin(), needs.end(), [this](const auto& of_book) {
    return of_book.second.total() <= pool_.balance(of_book.first).limit;
  });
}

// Those that nobody uses, before any model; not for one that has no room all the same.
bool Room::let_adapters_go(const Life& life, const std::vector<memory::Candidate>& known,
                           const Missing& missing) {
  if (parts_.adapters == nullptr || tight_book(life) != kHostBook) return false;
  const std::uint64_t unused = parts_.adapters->unused();
  if (missing.bytes == 0 || unused == 0 || life.model.failures.is_lasting()) return false;
  const memory::Wanted rest{less(missing.bytes, unused), missing.workers};
  const bool helps = (rest.bytes == 0 && rest.models == 0) || memory::choose(known, rest).enough;
  if (helps) parts_.adapters->give_way(parts_.adapters->leaving() + missing.bytes);
  return helps;
}

// Whether those that stay now may go soon.
bool Room::may_hope(Life& life, std::vector<memory::Candidate> known, const memory::Wanted& wanted,
                    std::int64_t busy_since_ns) const {
  const auto without = [&](std::initializer_list<memory::Stays> reasons) {
    for (memory::Candidate& one : known) {
      const bool passes = std::find(reasons.begin(), reasons.end(), one.stays) != reasons.end();
      if (passes) one.stays = memory::Stays::kNo;
    }
    return memory::choose(known, wanted).enough;
  };
  // What is being loaded, or just was, can be asked again in a moment: it may be idle then.
  if (without({memory::Stays::kChanging, memory::Stays::kJustLoaded})) return true;
  const std::int64_t now = parts_.clock.monotonic_ns();
  const std::int64_t since = life.room.waits_since_ns;
  if (since != 0 && now - since < kHopeNs) return true;
  // The end of a request is noted a moment after its client has seen it.
  life.room.busy_since_ns = busy_since_ns == 0 ? now : busy_since_ns;
  return now - life.room.busy_since_ns < kNotedNs && without({memory::Stays::kBusy});
}

// ---- who has to go ------------------------------------------------------------------------------

memory::Stays Room::stays(const Life& life) const {
  const bool changes = life.phase != Phase::kReady && life.phase != Phase::kWarm;
  const bool replaced =
      life.role != Life::Role::kServes || life.model.coming() != nullptr || life.drains;
  if (changes || replaced) return memory::Stays::kChanging;
  if (life.model.pinned) return memory::Stays::kPinned;
  if (life.phase == Phase::kWarm) return memory::Stays::kNo;
  if (!life.is_idle()) return memory::Stays::kBusy;
  const bool just = parts_.clock.monotonic_ns() - life.room.ready_ns < kJustLoadedNs;
  if (just && !life.room.was_used) return memory::Stays::kJustLoaded;
  return memory::Stays::kNo;
}

// What its session has of a device.
std::uint64_t Room::session_bytes(const Life& life, const std::string& device) {
  std::uint64_t bytes = 0;
  for (const memory::Lease& lease : life.room.committed) {
    if (lease.device() == device && is_of_session(lease.kind())) bytes += lease.bytes();
  }
  return bytes;
}

std::uint64_t Room::parked_bytes(const Life& life) const {
  const bool may =
      life.phase == Phase::kReady && life.room.plan && !life.outdated &&
      warm_stay_of(models_.settings_of(life.model.name), parts_.options) != std::chrono::seconds(0);
  return may ? session_bytes(life, life.room.plan->device) : 0;
}

// Those that are leaving already are none.
std::vector<memory::Candidate> Room::candidates(const std::string& device, const Life* but) const {
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
    one.is_parked = life->phase == Phase::kWarm || life->phase == Phase::kWaitingToWake;
    // Who waits to wake behind one may have to make room for it, and waits on as a load.
    const bool behind =
        but != nullptr && life->phase == Phase::kWaitingToWake && life->room.turn > but->room.turn;
    if (behind && !model.pinned) one.stays = memory::Stays::kNo;
    if (life->room.plan && life->room.plan->device == device)
      one.parked_bytes = parked_bytes(*life);
    one.wake_ns = model.wake_ns;
    list.push_back(std::move(one));
  }
  return list;
}

void Room::evict_chosen(const memory::Choice& choice, std::string_view reason,
                        const std::string& why) {
  std::vector<std::string> details{why};
  for (const memory::Judged& one : choice.judged) {
    if (details.size() < records::kDecisionDetailsMax) details.push_back(describe(one));
  }
  for (const memory::Judged& one : choice.judged) {
    if (one.goes) parts_.host.evict(*models_.holder_life(one.candidate.name), reason, details);
    if (one.parks) parts_.host.park(*models_.holder_life(one.candidate.name), reason, details);
  }
}

// What nobody uses goes before the kernel takes what somebody does.
void Room::give_way(const Books::Shortage& shortage) {
  const std::uint64_t over = shortage.over;
  const std::uint64_t kept = parts_.books.kept_prefixes();
  parts_.books.drop_kept_prefixes(shortage.pressed ? kept : over);
  if (kept >= std::max<std::uint64_t>(over, 1)) return;
  // Adapters that nobody uses, before any model.
  const std::uint64_t short_of = std::max<std::uint64_t>(over - std::min(over, kept), 1);
  if (parts_.adapters != nullptr && parts_.adapters->give_way(short_of) >= short_of) return;

  std::vector<memory::Candidate> known = candidates(kHostBook, nullptr);
  std::uint64_t possible = 0;
  for (const memory::Candidate& one : known) {
    if (one.stays == memory::Stays::kNo) possible += one.bytes;
  }
  const bool any_warm = std::any_of(known.begin(), known.end(), [](const auto& one) {
    return one.is_parked && one.stays == memory::Stays::kNo;
  });
  // Pressed without being over, one model goes, or is parked where none is parked yet, and then it
  // is seen what that does.
  const std::uint64_t wanted = std::min(short_of, possible);
  if (wanted == 0) return;
  const memory::Choice choice = memory::choose(std::move(known), {wanted, any_warm ? 1U : 0U});
  evict_chosen(choice, ledger::unload_reason::kPressure,
               "over=" + std::to_string(over) +
                   " stalled_percent=" + std::to_string(shortage.stalled_percent));
}

// ---- no room ------------------------------------------------------------------------------------

void Room::refuse(Life& life, const Missing& missing, const memory::Choice& choice) {
  const Model& model = life.model;
  std::vector<std::string> details;
  Error error{Code::kBusy, "all " + std::to_string(parts_.options.workers_max) +
                               " loaded models are busy or pinned; try again later"};
  if (model.failures.is_lasting()) {
    error = model.failures.refusal(parts_.clock.monotonic_ns());
  } else if (missing.bytes > 0) {
    const std::string book = tight_book(life);
    const std::uint64_t needs = needs_of(life, book);
    const memory::Balance balance = pool_.balance(book);
    std::string text = "model '" + model.name + "' needs " + human_bytes(needs) + " of memory; " +
                       human_bytes(balance.free) + " of " + human_bytes(balance.limit) +
                       " are free";
    if (!choice.judged.empty()) text += ", and " + holders_of(choice);
    text += needs > balance.limit ? "; take a smaller quantization, a smaller --ctx, a smaller "
                                    "--parallel, or a larger --memory-max"
                                  : "; try again when others are idle, or take a smaller "
                                    "quantization, a smaller --ctx or a smaller --parallel";
    error = {Code::kNoMemory, text};
    details = details_of(needs, balance, choice);
  }
  log::warn("a model is not loaded", {{"model", model.name}, {"reason", error.message}});
  if (life.phase != Phase::kWaitingToWake) life.room.committed.clear();
  parts_.host.turn_away(life, error, details);
}

}  // namespace aioss::runtime
