// The books of memory: what models have of it, how much they may have, and who gives way when the
// machine is short.
#include <algorithm>
#include <bit>
#include <utility>

#include "base/assert.h"
#include "base/log.h"
#include "runtime/supervisor.h"

namespace aioss::runtime {
namespace {

constexpr std::int64_t kNsPerMs = 1'000'000;
constexpr std::int64_t kNsPerSecond = 1'000'000'000;

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

const std::string kHost(memory::kHost);

std::uint64_t reserve_of(const os::MemoryState& state) {
  const std::uint64_t total = std::min(state.total, state.group_limit.value_or(state.total));
  return std::clamp(total / kReserveShare, kReserveLeast, kReserveMost);
}

}  // namespace

// ---- what there is ------------------------------------------------------------------------------

// What workers and the system say now.
void Supervisor::update_books() {
  std::uint64_t held = 0;
  for (auto& [name, slot] : slots_) held += follow(*slot);
  set_host_limit(held);
}

void Supervisor::open(const Slot& slot, memory::Lease& lease, memory::Kind kind) {
  if (lease.is_open()) return;
  auto opened = pool_.lease(kHost, slot.name, kind, 0);
  ASSERT(opened.has_value());  // of nothing there is always enough
  lease = std::move(*opened);
}

// How much the model has of what the system would otherwise call available.
std::uint64_t Supervisor::follow(Slot& slot) {
  ModelRoom& room = slot.room;
  ipc::Stats stats;
  if (slot.link) stats = slot.link->stats();
  // A worker is not to be trusted, but it has no more than it was given.
  const std::uint64_t prefixes =
      prefixes_.bytes_of(slot.name).value_or(std::min(stats.prefix_bytes, room.prefix_bytes_max));
  // Sealed copies of its files are weights that are leased, and memory of this process.
  const std::uint64_t sealed = slot.files ? slot.files->copied_bytes.load() : 0;
  if (!slot.link && prefixes == 0) {
    room.prefixes.release();
    return sealed;
  }
  open(slot, room.prefixes, memory::Kind::kPrefixes);
  room.prefixes.follow(prefixes);
  if (!slot.link) return prefixes + sealed;
  open(slot, room.spilled, memory::Kind::kSpilled);
  room.spilled.follow(std::min(stats.spilled_bytes, room.spill_bytes_max));
  const auto memory = parts_.options.memory.of_process(slot.link->pid());
  if (!memory) return prefixes + sealed;
  pool_.measured(kHost, slot.name, memory->resident);
  // Pages of the model's file are available to all, as the system counts them.
  return memory->anonymous + std::max(memory->shared, prefixes + sealed);
}

void Supervisor::set_host_limit(std::uint64_t held) {
  const std::uint64_t most = parts_.options.memory_max;
  const auto state = parts_.options.memory.state();
  if (!state) {
    host_usable_ = host_reserve_ = 0;
    pool_.set_limit(kHost, most == 0 ? memory::kUnlimited : most);
    return;
  }
  host_usable_ = state->usable();
  host_reserve_ = reserve_of(*state);
  pool_.set_limit(kHost, memory::limit_of({most, host_usable_, held, host_reserve_}));
}

std::uint64_t Supervisor::bytes_of_workers() const {
  std::uint64_t bytes = 0;
  for (const auto& [name, slot] : slots_) {
    for (const memory::Lease& lease : slot->room.committed) bytes += lease.bytes();
    bytes += slot->room.spilled.bytes() + slot->room.spilled.beyond();
  }
  return bytes;
}

// ---- one worker ---------------------------------------------------------------------------------

// States of prompts and spilled sequences come by and by: a worker may have of them what its
// settings allow, as far as it is free and not promised to another one's.
void Supervisor::limit_caches(Slot& slot) {
  std::uint64_t promised = 0;
  for (const auto& [name, other] : slots_) {
    if (other.get() == &slot || !other->link) continue;
    const ModelRoom& room = other->room;
    const std::uint64_t most = room.prefix_bytes_max + room.spill_bytes_max;
    promised += most - std::min(most, room.prefixes.bytes() + room.spilled.bytes());
  }
  // What is kept of its own prompts, it gets again.
  const std::uint64_t free = pool_.balance(kHost).free + slot.room.prefixes.bytes();
  const std::uint64_t each = (free - std::min(free, promised)) / 2;
  const GatewayOptions& options = parts_.options;
  slot.room.spill_bytes_max = std::min(options.spill_bytes, each);
  // In powers of two, so that the memory of the last worker mostly fits the next.
  slot.room.prefix_bytes_max =
      each >= options.prefix_bytes ? options.prefix_bytes : std::bit_floor(each);
}

// Its process has ended, or will at some time that nobody knows.
void Supervisor::leave_room(Slot& slot, const LinkEnded& ended) {
  ModelRoom& room = slot.room;
  if (ended.unreaped) {
    Unreaped left{ended.unreaped, std::exchange(room.committed, {})};
    left.leases.push_back(std::move(room.spilled));
    unreaped_.push_back(std::move(left));
  }
  // For answers that have begun another worker starts at once: nobody gets its room meanwhile.
  if (refusing_ || !has_begun_waiting(slot)) room.committed.clear();
  room.spilled.release();
  pool_.measured(kHost, slot.name, std::nullopt);
  follow(slot);
  room_changed_ = true;
}

// ---- pressure -----------------------------------------------------------------------------------

bool Supervisor::is_under_pressure() {
  const os::Pressure now = parts_.options.memory.pressure();
  const auto before = std::exchange(pressure_, now);
  const bool failed = before && now.out_of_memory > before->out_of_memory;
  return (now.known && now.full_percent >= kStalledPercent) || failed;
}

// What nobody uses goes before the kernel takes what somebody does.
void Supervisor::give_way(std::int64_t now_ns) {
  const std::uint64_t over = pool_.balance(kHost).over;
  seconds_over_ = over > 0 ? seconds_over_ + 1 : 0;
  const bool pressed = is_under_pressure();
  if (refusing_ || (!pressed && seconds_over_ < kSecondsOver)) return;
  if (gave_way_ns_ != 0 && now_ns - gave_way_ns_ < kGiveWayEveryNs) return;
  gave_way_ns_ = now_ns;
  const std::uint64_t kept = kept_prefixes();
  drop_kept_prefixes(pressed ? kept : over);
  if (kept >= std::max<std::uint64_t>(over, 1)) return;

  std::vector<memory::Candidate> known = candidates(kHost, nullptr);
  std::uint64_t possible = 0;
  for (const memory::Candidate& one : known) {
    if (one.stays == memory::Stays::kNo) possible += one.bytes;
  }
  // Pressed without being over, one model goes and then it is seen what that does.
  const std::uint64_t wanted =
      std::min(std::max<std::uint64_t>(over - std::min(over, kept), 1), possible);
  if (wanted == 0) return;
  const memory::Choice choice = memory::choose(std::move(known), {wanted, 1});
  evict_chosen(choice, ledger::unload_reason::kPressure,
               "over=" + std::to_string(over) + " stalled_percent=" +
                   std::to_string(static_cast<unsigned>(pressure_->full_percent)));
}

// ---- what is shown ------------------------------------------------------------------------------

MemoryOfModel Supervisor::memory_of(const memory::Holding& holding) const {
  MemoryOfModel shown;
  shown.holding = holding;
  shown.state = "cold";
  const auto found = slots_.find(holding.holder);
  if (found == slots_.end()) return shown;
  const Slot& slot = *found->second;
  if (slot.phase == Phase::kStopping) shown.state = "stopping";
  if (slot.phase == Phase::kLoading || slot.phase == Phase::kWaitingForRoom) {
    shown.state = "loading";
  }
  if (slot.phase == Phase::kReady) shown.state = "ready";
  if (slot.link || slot.phase == Phase::kLoading) shown.stays = name(stays(slot));
  shown.exact = slot.room.plan && slot.room.plan->exact;
  if (slot.last_used_ns > 0) {
    shown.unused_ms = (parts_.clock.monotonic_ns() - slot.last_used_ns) / kNsPerMs;
  }
  shown.restore_ms = slot.room.restore_ns / kNsPerMs;
  shown.priority = priority_of(slot);
  return shown;
}

void Supervisor::publish_memory() {
  memory_gauges_.set(pool_, evictions_total_);
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
      shown.models.push_back(memory_of(holding));
    }
  }
  for (const Slot* slot : waiting_for_room()) report.waiting.push_back(slot->name);
  report.evictions.assign(evictions_.begin(), evictions_.end());
  report.evictions_total = evictions_total_;
  parts_.view.set_memory(std::move(report));
}

}  // namespace aioss::runtime
