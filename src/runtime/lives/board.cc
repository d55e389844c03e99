#include "runtime/lives/board.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"

namespace aioss::runtime {

Board::Board(const Parts& parts)
    : parts_(parts),
      workers_(parts_.metrics.gauge("aioss_workers", "Worker processes that run.")),
      queue_(parts_.metrics.gauge("aioss_queue_depth",
                                  "Requests that wait for a model to load or for a free stream.")),
      running_(parts_.metrics.gauge("aioss_requests_running", "Requests being computed.")),
      of_workers_(parts_.metrics) {}

void Board::show(const Model& model) {
  ModelView::State state;
  state.last_error = model.last_error;
  const CatalogueEntry* const known = parts_.models.entry(model.name);
  if (known != nullptr && known->problem) state.last_error = known->problem;
  switch (model.phase()) {
    case Phase::kCold:
    case Phase::kStopping:
      state.state = state.last_error ? "failed" : "cold";
      if (!model.load_waiters.empty()) state.state = "loading";  // once the last worker is gone
      break;
    case Phase::kWaitingForRoom:
    case Phase::kWaitingToWake:
    case Phase::kWaking:
      state.state = "loading";
      break;
    case Phase::kWarm:
      state.state = "warm";
      break;
    case Phase::kParking:
      state.state = model.load_waiters.empty() ? "ready" : "loading";  // once it is parked
      state.facts = model.serving->ready;
      break;
    case Phase::kLoading:
      state.state = "loading";
      if (model.has_link()) state.load_fraction = model.serving->link->load_fraction();
      break;
    case Phase::kReady:
      state.state = "ready";
      state.load_fraction = 1;
      state.facts = model.serving->ready;
      break;
  }
  parts_.view.set_state(model.name, std::move(state));
}

void Board::show_load(const Model& model) {
  ModelLoad load;
  load.waiting_for_load = static_cast<std::uint32_t>(model.waiting.size());
  if (model.has_link()) {
    if (model.serving->ready) load.engine = model.serving->ready->engine.name;
    const ipc::Stats stats = model.serving->link->stats();
    load.running = stats.running;
    load.waiting_batch = stats.waiting_batch;
    load.waiting_interactive = stats.queued - std::min(stats.queued, stats.waiting_batch);
    load.parked = stats.parked;
    load.spilled = stats.spilled;
    load.spilled_bytes = stats.spilled_bytes;
    load.preempted = stats.preempted;
    load.decode_step_ns = stats.decode_step_ns;
    load.chunk_ns = stats.chunk_ns;
    load.wait_seconds = stats.wait_seconds;
    // The last Stats before it is idle say how fast it was.
    const bool busy = stats.running + stats.queued > 0;
    if (busy) load.tokens_per_second = static_cast<double>(stats.tokens_per_second);
    for (const ipc::TenantLoad& tenant : stats.tenants) {
      load.tenants.push_back({"", tenant.tenant, tenant.waiting, tenant.running, tenant.tokens});
    }
    const auto holding = parts_.pool.holding(std::string(memory::kHost), model.serving->holder);
    if (holding) load.memory_bytes = holding->measured.value_or(0);
  }
  parts_.view.set_load(model.name, std::move(load));
}

void Board::show_residence(const Model& model) {
  parts_.view.set_residence(model.name, parts_.residency.shown(model));
}

void Board::show_totals() {
  ModelView::Totals totals;
  std::vector<ipc::Stats> workers;
  for (const auto& [name, model] : parts_.models.models()) {
    show_load(*model);
    totals.queued += static_cast<std::uint32_t>(model->waiting.size());
    for (const auto& life : model->lives) {
      if (!life->link) continue;
      ++totals.workers;
      const ipc::Stats& stats = workers.emplace_back(life->link->stats());
      totals.running += stats.running;
      totals.queued += stats.queued;
      if (life->hello) totals.confinement.push_back(name + ": " + life->hello->confinement);
    }
  }
  workers_.set(totals.workers);
  queue_.set(totals.queued);
  running_.set(totals.running);
  of_workers_.set(workers);
  show_memory();
  parts_.view.set_totals(std::move(totals));
}

void Board::show_memory() {
  MemoryReport report = parts_.books.report();
  for (MemoryOfDevice& device : report.devices) {
    for (MemoryOfModel& one : device.models) complete(one);
  }
  for (const Life* const life : parts_.room.waiting()) report.waiting.push_back(life->model.name);
  parts_.view.set_memory(std::move(report));
}

// What is known of who has it.
void Board::complete(MemoryOfModel& shown) const {
  const std::string& holder = shown.holding.holder;
  shown.state = "cold";
  shown.model = holder;
  const Life* const life = parts_.models.holder_life(holder);
  const Model* const model = life == nullptr ? parts_.models.find(holder) : &life->model;
  if (model == nullptr) return;
  shown.model = model->name;
  shown.exact = model->was_exact;
  if (life != nullptr) {
    if (life->phase == Phase::kStopping) shown.state = "stopping";
    if (life->phase == Phase::kLoading || life->phase == Phase::kWaitingForRoom) {
      shown.state = "loading";
    }
    if (life->phase == Phase::kReady) shown.state = "ready";
    if (life->phase == Phase::kParking) shown.state = "ready";
    if (life->phase == Phase::kWarm) shown.state = "warm";
    if (life->phase == Phase::kWaking || life->phase == Phase::kWaitingToWake)
      shown.state = "loading";
    shown.parked_bytes = parts_.room.parked_bytes(*life);
    if (life->role == Life::Role::kComing) shown.state = "coming";
    if (life->role == Life::Role::kLeaving) shown.state = "leaving";
    if (life->has_worker_or_place()) shown.stays = name(parts_.room.stays(*life));
    shown.exact = life->room.plan && life->room.plan->exact;
  }
  if (model->last_used_ns > 0) {
    shown.unused_ms = (parts_.clock.monotonic_ns() - model->last_used_ns) / kNsPerMs;
  }
  shown.restore_ms = model->restore_ns / kNsPerMs;
  shown.wake_ms = model->wake_ns / kNsPerMs;
  shown.priority = parts_.models.priority_of(*model);
}

}  // namespace aioss::runtime
