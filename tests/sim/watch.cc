#include "tests/sim/watch.h"

#include <algorithm>
#include <variant>

#include "runtime/streams/stream_state.h"
#include "worker/fair_queue.h"

namespace aioss::sim {
namespace {

// A token of one byte with its log probabilities, as the vocabulary of the fake engine writes them,
// and text that was held back for a stop string.
constexpr std::uint64_t kDeltaCostMax = 4 * 1024;
constexpr std::uint32_t kShortPrompt = 64;  // tokens: one or two chunks

}  // namespace

void Watch::admitted(ipc::RequestId id, const ClientPlan& plan) {
  Fate& fate = fates_[id];
  fate.tenant = std::hash<std::string>()(plan.tenant);
  fate.choices = plan.request.choices;
  fate.priority = plan.request.priority;
  fate.is_poison = plan.is_poison;
}

bool Watch::is_poison(ipc::RequestId id) const {
  const auto found = fates_.find(id);
  return found != fates_.end() && found->second.is_poison;
}

void Watch::given(std::uint64_t number, const ipc::ToWorker& message) {
  const auto* submit = std::get_if<ipc::Submit>(&message);
  if (submit == nullptr) return;
  Worker& worker = workers_[number];
  Stay& stay = worker.stays[submit->id];
  stay.resumed = !submit->resume.empty();
  stay.open = ipc::open_choices(*submit);
  worker.resumed += stay.resumed ? 1 : 0;
}

void Watch::said(std::uint64_t number, const ipc::FromWorker& message) {
  Worker& worker = workers_[number];
  if (const auto* m = std::get_if<ipc::Accepted>(&message)) accepted(worker, *m);
  if (const auto* m = std::get_if<ipc::Rejected>(&message)) worker.stays.erase(m->id);
  if (const auto* m = std::get_if<ipc::Stats>(&message)) check(worker, *m);
  if (const auto* m = std::get_if<ipc::Delta>(&message)) {
    started(worker, m->id);
    spent(m->id, *m);
  }
  if (const auto* m = std::get_if<ipc::Finished>(&message)) {
    const auto stay = worker.stays.find(m->id);
    if (stay == worker.stays.end()) {
      return world_.violated("a worker finished a choice more often than it had choices");
    }
    if (--stay->second.open == 0) worker.stays.erase(stay);
  }
}

void Watch::accepted(Worker& worker, const ipc::Accepted& message) {
  const auto found = worker.stays.find(message.id);
  if (found == worker.stays.end())
    return world_.violated("a worker accepted what it was not given");
  Stay& stay = found->second;
  const std::uint64_t tenant = fates_.at(message.id).tenant;
  const bool alone = std::none_of(worker.stays.begin(), worker.stays.end(), [&](const auto& other) {
    return other.first != message.id && fates_.at(other.first).tenant == tenant;
  });
  stay.is_short = message.prompt_tokens <= kShortPrompt;
  stay.waits_as_newcomer = message.queue_position > 0 && alone && !stay.resumed;
}

// The first token of a request says that it was its turn. Who comes to a worker in which nothing of
// its tenant was begins level with the least served. So those go before it that have their streams
// already, and as many that take one before the tenants are charged for those; then, of prompts
// that are prefilled together, shorter ones. Batch has one turn of eight.
void Watch::started(Worker& worker, ipc::RequestId id) {
  const auto found = worker.stays.find(id);
  if (found == worker.stays.end()) return world_.violated("a worker answered what it had ended");
  if (found->second.started) return;
  found->second.started = true;
  if (found->second.resumed) return;
  const std::uint32_t of_one_class = 3 * scenario_.streams + 12;
  for (auto& [other, stay] : worker.stays) {
    const bool waits = stay.waits_as_newcomer && stay.is_short && !stay.started;
    const bool batch = fates_.at(other).priority == ipc::Priority::kBatch;
    const std::uint32_t bound =
        batch ? aioss::worker::kTurnsOfClasses * of_one_class : of_one_class;
    if (!waits || fates_.at(other).cancelled || ++stay.starts_seen <= bound) continue;
    return world_.violated("starvation: request " + std::to_string(other) + " waits while " +
                           std::to_string(stay.starts_seen) + " of other tenants begin");
  }
}

void Watch::spent(ipc::RequestId id, const ipc::Delta& delta) {
  Fate& fate = fates_.at(id);
  fate.in_flight += ipc::cost_of(delta);
  const std::uint64_t bound = runtime::kCreditBytes + fate.choices * kDeltaCostMax;
  if (fate.cancelled || fate.unread + fate.in_flight <= bound) return;
  world_.violated("credit: request " + std::to_string(id) + " has " +
                  std::to_string(fate.unread + fate.in_flight) + " bytes that were not read");
}

void Watch::arrived(const ipc::FromWorker& message) {
  const auto* delta = std::get_if<ipc::Delta>(&message);
  if (delta == nullptr) return;
  Fate& fate = fates_.at(delta->id);
  const std::uint64_t cost = ipc::cost_of(*delta);
  fate.in_flight -= std::min(cost, fate.in_flight);
  fate.unread += cost;
}

void Watch::lost(std::uint64_t number) {
  const auto found = workers_.find(number);
  if (found == workers_.end()) return;
  for (const auto& [id, stay] : found->second.stays) {
    fates_.at(id).in_flight = 0;
  }
  workers_.erase(found);
}

void Watch::check(const Worker& worker, const ipc::Stats& stats) {
  // What was resumed had its place already.
  if (stats.queued > scenario_.queue_max + worker.resumed) {
    world_.violated("queue: " + std::to_string(stats.queued) + " requests wait in a worker");
  }
  if (stats.running > scenario_.streams)
    world_.violated("more sequences run than there are streams");
  if (stats.spilled_bytes > scenario_.spill_bytes)
    world_.violated("more is spilled than there is room");
}

}  // namespace aioss::sim
