#include "runtime/room/books.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "runtime/dry_runs/device_table.h"
#include "runtime/models/model_table.h"

namespace aioss::runtime {
namespace {

// Left to others, and to what no book sees: a 32nd of the machine or of the control group.
constexpr std::uint64_t kReserveShare = 32;
constexpr std::uint64_t kReserveLeast = std::uint64_t{64} << 20,
                        kReserveMost = std::uint64_t{512} << 20;
// So much of ten seconds everybody waited for memory. The kernel's own daemons begin to kill there.
constexpr double kStalledPercent = 10;
// More in use than may be, for so long: what others take for a moment unloads no model.
constexpr unsigned kSecondsOver = 3;
// What was unloaded is felt in the figures after so long.
constexpr std::int64_t kGiveWayEveryNs = 5 * kNsPerSecond;

std::uint64_t reserve_of(const os::MemoryState& state) {
  const std::uint64_t total = std::min(state.total, state.group_limit.value_or(state.total));
  return std::clamp(total / kReserveShare, kReserveLeast, kReserveMost);
}

}  // namespace

Books::Books(const Parts& parts)
    : parts_(parts), pool_(parts_.pool), models_(parts_.models), gauges_(parts_.metrics) {
  if (!parts_.options.devices) return;
  // What others have of a GPU by then is theirs.
  for (const DeviceTable::Gpu& gpu : parts_.options.devices->all()) {
    if (!gpu.facts.shares_memory) pool_.set_limit(gpu.facts.name, gpu.facts.bytes_free);
  }
}

// ---- what there is ------------------------------------------------------------------------------

// What workers and the system say now.
void Books::update() {
  std::uint64_t held = 0;
  for (const auto& [name, model] : models_.models()) held += follow(*model);
  set_host_limit(held);
}

void Books::open(const std::string& holder, memory::Lease& lease, memory::Kind kind) {
  if (lease.is_open()) return;
  auto opened = pool_.lease(kHostBook, holder, kind, 0);
  ASSERT(opened.has_value());  // of nothing there is always enough
  lease = std::move(*opened);
}

// How much the model has of what the system would otherwise call available.
std::uint64_t Books::follow(Model& model) {
  const std::uint64_t prefixes = follow_prefixes(model);
  std::uint64_t held = model.serving == nullptr ? prefixes : 0;
  for (const auto& life : model.lives) {
    held += follow(*life, life.get() == model.serving ? prefixes : 0);
  }
  return held;
}

// Kept of its prompts, or being made by the life that serves.
std::uint64_t Books::follow_prefixes(Model& model) {
  std::uint64_t told = 0;
  // A worker is not to be trusted, but it has no more than it was given.
  if (model.has_link()) {
    const Life& life = *model.serving;
    told = std::min(life.link->stats().prefix_bytes, life.room.prefix_bytes_max);
  }
  const std::uint64_t prefixes = parts_.prefixes.bytes_of(model.name).value_or(told);
  if (!model.has_link() && prefixes == 0) {
    model.prefixes.release();
    return 0;
  }
  open(model.name, model.prefixes, memory::Kind::kPrefixes);
  model.prefixes.follow(prefixes);
  return prefixes;
}

std::uint64_t Books::follow(Life& life, std::uint64_t prefixes) {
  // Sealed copies of its files are weights that are leased, and memory of this process.
  const std::uint64_t sealed = life.files ? life.files->copied_bytes.load() : 0;
  if (!life.link) return prefixes + sealed;
  LifeRoom& room = life.room;
  open(life.holder, room.spilled, memory::Kind::kSpilled);
  room.spilled.follow(std::min(life.link->stats().spilled_bytes, room.spill_bytes_max));
  const auto memory = parts_.options.memory.of_process(life.link->pid());
  if (!memory) return prefixes + sealed;
  // Pages of the model's file are available to all, as the system counts them, and those of weights
  // that were repacked stay until it wants them: they fill what was planned, and exceed it never.
  const std::uint64_t own = memory->anonymous + memory->shared;
  const auto holding = pool_.holding(kHostBook, life.holder);
  const std::uint64_t planned = holding ? holding->leased.total() + holding->beyond : 0;
  pool_.measured(kHostBook, life.holder, std::min(memory->resident, std::max(own, planned)));
  return memory->anonymous + std::max(memory->shared, prefixes + sealed);
}

void Books::set_host_limit(std::uint64_t held) {
  const std::uint64_t most = parts_.options.memory_max;
  const auto state = parts_.options.memory.state();
  if (!state) {
    host_usable_ = host_reserve_ = 0;
    pool_.set_limit(kHostBook, most == 0 ? memory::kUnlimited : most);
    return;
  }
  host_usable_ = state->usable();
  host_reserve_ = reserve_of(*state);
  pool_.set_limit(kHostBook, memory::limit_of({most, host_usable_, held, host_reserve_}));
}

std::uint64_t Books::bytes_of_workers() const {
  std::uint64_t bytes = 0;
  for (const Life* const life : models_.lives()) {
    for (const memory::Lease& lease : life->room.committed) bytes += lease.bytes();
    bytes += life->room.spilled.bytes() + life->room.spilled.beyond();
    for (const AdapterOfLife& adapter : life->adapters.loaded) bytes += adapter.lease.bytes();
  }
  return bytes;
}

// ---- one worker ---------------------------------------------------------------------------------

// States of prompts and spilled sequences come by and by: a worker may have of them what its
// settings allow, as far as it is free and not promised to another one's.
void Books::limit_caches(Life& life) {
  std::uint64_t promised = 0;
  for (const Life* const other : models_.lives()) {
    if (other == &life || !other->link || other->phase == Phase::kWarm) continue;
    const LifeRoom& room = other->room;
    const std::uint64_t most = room.prefix_bytes_max + room.spill_bytes_max;
    promised += most - std::min(most, other->model.prefixes.bytes() + room.spilled.bytes());
  }
  // What is kept of its own prompts, it gets again.
  const std::uint64_t free = pool_.balance(kHostBook).free + life.model.prefixes.bytes();
  const std::uint64_t each = (free - std::min(free, promised)) / 2;
  const GatewayOptions& options = parts_.options;
  life.room.spill_bytes_max = std::min(options.spill_bytes, each);
  // In powers of two, so that the memory of the last worker mostly fits the next.
  life.room.prefix_bytes_max =
      each >= options.prefix_bytes ? options.prefix_bytes : std::bit_floor(each);
}

// Its process has ended, or will at some time that nobody knows.
void Books::leave(Life& life, const LinkEnded& ended, bool keeps_room) {
  LifeRoom& room = life.room;
  if (ended.unreaped) {
    Unreaped left{ended.unreaped, std::exchange(room.committed, {})};
    left.leases.push_back(std::move(room.spilled));
    unreaped_.push_back(std::move(left));
  }
  if (!keeps_room) room.committed.clear();
  room.spilled.release();
  pool_.measured(kHostBook, life.holder, std::nullopt);
  follow_prefixes(life.model);
}

void Books::shrink(Life& life) {
  std::erase_if(life.room.committed,
                [](const memory::Lease& lease) { return is_of_session(lease.kind()); });
  life.room.spilled.release();
  update();  // what it had is free for others, and no longer measured
}

void Books::look_after_unreaped() {
  std::erase_if(unreaped_, [](const Unreaped& left) {
    return left.child->wait_for(std::chrono::milliseconds(0)).has_value();
  });
}

// ---- pressure -----------------------------------------------------------------------------------

bool Books::is_under_pressure() {
  const os::Pressure now = parts_.options.memory.pressure();
  const auto before = std::exchange(pressure_, now);
  const bool failed = before && now.out_of_memory > before->out_of_memory;
  return (now.known && now.full_percent >= kStalledPercent) || failed;
}

std::optional<Books::Shortage> Books::shortage(std::int64_t now_ns) {
  const std::uint64_t over = pool_.balance(kHostBook).over;
  seconds_over_ = over > 0 ? seconds_over_ + 1 : 0;
  const bool pressed = is_under_pressure();
  if (!pressed && seconds_over_ < kSecondsOver) return std::nullopt;
  if (said_short_ns_ != 0 && now_ns - said_short_ns_ < kGiveWayEveryNs) return std::nullopt;
  said_short_ns_ = now_ns;
  return Shortage{over, pressed, static_cast<unsigned>(pressure_->full_percent)};
}

// ---- what is kept of prompts --------------------------------------------------------------------

// Of models that have no worker: nobody needs them now.
std::uint64_t Books::kept_prefixes() const {
  std::uint64_t bytes = 0;
  for (const auto& [name, model] : models_.models()) {
    if (!model->has_worker()) bytes += model->prefixes.bytes() + model->prefixes.beyond();
  }
  return bytes;
}

// At least so many bytes of them, those first whose models were not used for longest.
std::uint64_t Books::drop_kept_prefixes(std::uint64_t bytes) {
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
    parts_.prefixes.drop(oldest->name);
    log::info("what was computed of prompts gives way",
              {{"model", oldest->name}, {"bytes", lease.bytes() + lease.beyond()}});
  }
  return dropped;
}

// ---- what is shown ------------------------------------------------------------------------------

void Books::note_eviction(const Life& life, std::string_view reason,
                          std::vector<std::string> details, bool parks) {
  ++evictions_total_;
  std::uint64_t bytes = parks ? 0 : pool_.used_by(kHostBook, life.holder);
  for (const memory::Lease& lease : life.room.committed) {
    if (parks && is_of_session(lease.kind())) bytes += lease.bytes();
  }
  evictions_.push_back({parts_.clock.wall_ns(), life.model.name, std::string(reason), bytes,
                        std::move(details), parks});
  if (evictions_.size() > kEvictionsShown) evictions_.pop_front();
}

MemoryReport Books::report() {
  const std::vector<Life*> lives = models_.lives();
  const auto warm = std::count_if(lives.begin(), lives.end(),
                                  [](const Life* life) { return life->phase == Phase::kWarm; });
  gauges_.set(pool_, evictions_total_, static_cast<std::size_t>(warm));
  MemoryReport report;
  report.memory_max = parts_.options.memory_max;
  report.usable = host_usable_;
  report.reserve = host_reserve_;
  report.pressure = pressure_.value_or(os::Pressure{});
  for (const std::string& device : pool_.devices()) {
    MemoryOfDevice& shown = report.devices.emplace_back();
    shown.name = device;
    shown.balance = pool_.balance(device);
    for (const memory::Holding& holding : pool_.holdings(device)) {
      shown.models.emplace_back().holding = holding;
    }
  }
  report.evictions.assign(evictions_.begin(), evictions_.end());
  report.evictions_total = evictions_total_;
  return report;
}

}  // namespace aioss::runtime
