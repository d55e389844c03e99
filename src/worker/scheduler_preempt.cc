// Overcommit: an interactive request that finds no stream takes that of a batch sequence, whose KV
// goes to host memory, as a parked one's does, and which comes back exactly as it was. See
// scheduler.h.
//
// Batch must not starve: what got its stream in batch's turn of the classes, while interactive
// waited, keeps it for kTokensOfATurn tokens at least. So each turn moves it on by so much.
#include <algorithm>

#include "worker/scheduler.h"

namespace aioss::worker {
namespace {

constexpr std::uint32_t kTokensOfATurn = 32;

}  // namespace

// For a stream, as a new one or to come back.
bool Scheduler::waits(ipc::Priority priority) const {
  return queue_.waits(priority) || next_to_resume(priority) != nullptr;
}

// Whose turn it is of all that wait for a stream.
std::optional<ipc::Priority> Scheduler::class_in_turn() const {
  return queue_.turn(waits(ipc::Priority::kInteractive), waits(ipc::Priority::kBatch));
}

// It has been given a stream.
void Scheduler::had_turn(Sequence& sequence) {
  const ipc::Priority priority = sequence.request.submit.priority;
  const bool batch = priority == ipc::Priority::kBatch;
  queue_.had_turn(sequence, batch || waits(ipc::Priority::kBatch));
  const bool in_its_turn = batch && waits(ipc::Priority::kInteractive);
  sequence.keeps_stream_until = in_its_turn ? sequence.generated + kTokensOfATurn : 0;
}

// The batch sequence that began last: least is lost for the order in which they came.
Sequence* Scheduler::next_to_preempt() const {
  Sequence* last = nullptr;
  for (Sequence* const sequence : streams_) {
    if (sequence == nullptr || sequence->phase != Phase::kDecode) continue;
    const Request& request = sequence->request;
    if (request.submit.priority != ipc::Priority::kBatch || sequence->finds_no_room) continue;
    if (request.parked() || sequence->generated < sequence->keeps_stream_until) continue;
    if (last == nullptr || sequence->started_ns > last->started_ns) last = sequence;
  }
  return last;
}

// One a step: who waits is placed by the same step, and the next one looks again.
Status Scheduler::preempt() {
  if (!options_.overcommit || lowest_free_stream() != kNoStream) return ok();
  if (class_in_turn() != ipc::Priority::kInteractive) return ok();
  Sequence* const victim = next_to_preempt();
  if (victim == nullptr) return ok();
  AIOSS_CHECK(spill(*victim));
  victim->finds_no_room = victim->phase != Phase::kSpilled;
  if (victim->finds_no_room) return ok();  // it keeps its stream
  ++stats_.preempted;
  if (!waits(ipc::Priority::kBatch)) queue_.forget_turns();  // of those that wait no more
  resuming_.push_back(victim);
  return ok();
}

}  // namespace aioss::worker
