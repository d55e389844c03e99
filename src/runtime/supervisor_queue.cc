// Time and load of the supervisor's requests: deadlines, and what is shown of the queues.
#include <algorithm>
#include <utility>

#include "runtime/supervisor.h"

namespace aioss::runtime {
namespace {

constexpr std::int64_t kNsPerMs = 1'000'000;

Error overdue(const StreamState& stream) {
  return {Code::kTimeout, "the request had not ended after the " +
                              std::to_string(stream.request().deadline_ms / 1000) +
                              " s that it was given (X-Aioss-Deadline)"};
}

}  // namespace

// ---- deadlines ----------------------------------------------------------------------------------

void Supervisor::note_deadline(const StreamState& stream) {
  if (const auto due = stream.deadline_ns()) deadlines_.emplace(*due, stream.id());
}

void Supervisor::forget_deadline(const StreamState& stream) {
  if (const auto due = stream.deadline_ns()) deadlines_.erase({*due, stream.id()});
}

// Wherever they are: the stream asks for its worker to stop, or leaves the queue.
void Supervisor::end_overdue(std::int64_t now_ns) {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now_ns) {
    const auto found = running_.find(deadlines_.begin()->second);
    deadlines_.erase(deadlines_.begin());
    if (found == running_.end()) continue;
    const std::shared_ptr<StreamState> stream = found->second.stream;
    stream->give_up(overdue(*stream));
  }
}

// Until something is due, `most` at most.
std::chrono::milliseconds Supervisor::patience(std::chrono::milliseconds most) const {
  if (deadlines_.empty()) return most;
  const std::int64_t left = deadlines_.begin()->first - parts_.clock.monotonic_ns();
  const std::int64_t ms = std::max<std::int64_t>(left / kNsPerMs + 1, 0);
  return std::min(most, std::chrono::milliseconds(ms));
}

// ---- what is shown ------------------------------------------------------------------------------

void Supervisor::publish_load(const Model& model) {
  ModelLoad load;
  load.waiting_for_load = static_cast<std::uint32_t>(model.waiting.size());
  if (model.has_link()) {
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
    const auto holding = pool_.holding(std::string(memory::kHost), model.serving->holder);
    if (holding) load.memory_bytes = holding->measured.value_or(0);
  }
  parts_.view.set_load(model.name, std::move(load));
}

}  // namespace aioss::runtime
