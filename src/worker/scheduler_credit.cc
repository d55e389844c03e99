// Backpressure in the token loop: parking, spilling, coming back. See scheduler.h.
#include <algorithm>
#include <limits>
#include <utility>

#include "base/assert.h"
#include "ipc/limits.h"
#include "worker/scheduler.h"

namespace aioss::worker {
namespace {

constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
constexpr auto kCreditMax = static_cast<std::int64_t>(ipc::kCreditBytesMax);

}  // namespace

void Scheduler::charge(Request& request, std::uint64_t cost) {
  if (request.submit.credit_bytes == 0) return;
  const bool was_parked = request.parked();
  request.credit -= static_cast<std::int64_t>(cost);
  if (was_parked || !request.parked()) return;
  request.parked_ns = clock_.monotonic_ns();
  // Those that were about to come back have nothing to come back for.
  std::erase_if(resuming_, [&](const Sequence* s) { return &s->request == &request; });
}

void Scheduler::credit(const ipc::Credit& more) {
  const auto found = requests_.find(more.id);
  if (found == requests_.end()) return;
  Request& request = *found->second;
  request.credit = std::min(request.credit + static_cast<std::int64_t>(more.bytes), kCreditMax);
  if (request.parked()) return;
  request.keeps_streams = false;
  for (Sequence& sequence : request.choices) {
    const bool waits = sequence.phase == Phase::kSpilled &&
                       std::find(resuming_.begin(), resuming_.end(), &sequence) == resuming_.end();
    if (waits) resuming_.push_back(&sequence);
  }
}

// Parked for the longest time of those that may give their streams away; null: none.
Sequence* Scheduler::next_to_spill() const {
  Sequence* longest = nullptr;
  if (options_.spill_bytes_max == 0) return longest;
  for (Sequence* const sequence : streams_) {
    if (sequence == nullptr || sequence->phase != Phase::kDecode) continue;
    const Request& request = sequence->request;
    if (!request.parked() || request.keeps_streams) continue;
    if (longest == nullptr || request.parked_ns < longest->request.parked_ns) longest = sequence;
  }
  return longest;
}

std::int64_t Scheduler::spill_due_ns() const {
  const Sequence* const next = next_to_spill();
  if (next == nullptr) return kNever;
  const bool wanted = somebody_waits() && lowest_free_stream() == kNoStream;
  return next->request.parked_ns +
         (wanted ? options_.spill_after_wanted_ns : options_.spill_after_ns);
}

Status Scheduler::spill_parked() {
  while (spill_due_ns() <= clock_.monotonic_ns()) {
    Sequence& sequence = *next_to_spill();
    AIOSS_CHECK(spill(sequence));
    if (sequence.phase != Phase::kSpilled) sequence.request.keeps_streams = true;
  }
  return ok();
}

// What cannot be saved, or has no room, keeps its stream.
Status Scheduler::spill(Sequence& sequence) {
  const Result<std::size_t> bytes = session_.state_size(sequence.stream);
  if (!bytes || *bytes > options_.spill_bytes_max - spilled_bytes_) return ok();
  Result<Bytes> state = session_.save(sequence.stream);
  if (!state || state->size() > options_.spill_bytes_max - spilled_bytes_) return ok();
  Sequence* const affected[] = {&sequence};
  if (const Status removed = session_.remove(sequence.stream, 0, -1); !removed) {
    return broken(affected, removed.error());
  }
  sequence.saved = std::move(*state);
  spilled_bytes_ += sequence.saved.size();
  ++spilled_;
  streams_[static_cast<std::size_t>(sequence.stream)] = nullptr;
  sequence.stream = kNoStream;
  sequence.phase = Phase::kSpilled;
  return ok();
}

// Of those of a class that come back, by the turns of their tenants; null: none.
Sequence* Scheduler::next_to_resume(ipc::Priority priority) const {
  const auto served = [this](const Sequence* s) { return queue_.served(s->request.submit); };
  Sequence* next = nullptr;
  for (Sequence* const sequence : resuming_) {
    if (sequence->request.submit.priority != priority) continue;
    if (next == nullptr || served(sequence) < served(next)) next = sequence;
  }
  return next;
}

// Free streams go to who has the turn, of the classes, then of the tenants; of one tenant, to those
// that come back before new ones.
Status Scheduler::place_waiting() {
  for (;;) {
    if (lowest_free_stream() == kNoStream) return ok();
    const std::optional<ipc::Priority> priority = class_in_turn();
    if (!priority) return ok();
    Sequence* const back = next_to_resume(*priority);
    Sequence* const fresh = queue_.waits(*priority) ? &queue_.next(*priority) : nullptr;
    const bool resumes =
        fresh == nullptr || (back != nullptr && queue_.served(back->request.submit) <=
                                                    queue_.served(fresh->request.submit));
    if (resumes) {
      AIOSS_CHECK(resume(*back, stream_for(*back)));
    } else {
      start(*fresh, stream_for(*fresh));
    }
  }
}

Status Scheduler::resume(Sequence& sequence, std::int32_t stream) {
  had_turn(sequence);
  std::erase(resuming_, &sequence);
  const Status loaded = session_.load(stream, sequence.saved);
  drop_saved(sequence);
  streams_[static_cast<std::size_t>(stream)] = &sequence;
  sequence.stream = stream;
  sequence.phase = Phase::kDecode;
  Sequence* const affected[] = {&sequence};
  return loaded ? ok() : broken(affected, loaded.error());
}

void Scheduler::drop_saved(Sequence& sequence) {
  ASSERT(sequence.phase == Phase::kSpilled && spilled_ > 0);
  spilled_bytes_ -= sequence.saved.size();
  --spilled_;
  for (Sequence* const running : streams_) {  // there is room again
    if (running != nullptr) running->finds_no_room = false;
  }
  // Text in another form: nobody may find it in memory that is used again.
  std::fill(sequence.saved.begin(), sequence.saved.end(), std::uint8_t{0});
  sequence.saved = Bytes();
}

}  // namespace aioss::worker
