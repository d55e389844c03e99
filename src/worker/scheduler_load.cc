// What waits, how long that may take, and what is told of it. See scheduler.h.
#include <algorithm>

#include "base/clock.h"
#include "ipc/limits.h"
#include "worker/scheduler.h"

namespace aioss::worker {
namespace {

constexpr std::uint32_t kChunkShown = 64;  // tokens: the floor of chunked prefill
constexpr double kSpeedMax = 1e9;          // tokens a second: of a clock that hardly moved

}  // namespace

// Of one that came now.
std::optional<std::uint32_t> Scheduler::wait_seconds(ipc::Priority priority) const {
  if (takes_a_stream(priority)) return 0;
  LoadEstimate::Work waiting, running;
  const auto add = [this](LoadEstimate::Work& work, const Sequence& sequence) {
    const Request& request = sequence.request;
    // Choices of a request share its prompt.
    if (sequence.choice == 0 && sequence.computed < request.prompt_tokens()) {
      work.prompt_tokens += request.prompt_tokens() - sequence.computed;
    }
    if (request.submit.prefix_only) return;
    work.answer_tokens += estimate_.rest(request.tokens_max, sequence.generated);
  };
  const auto counts = [priority](const Sequence& sequence) {
    return priority == ipc::Priority::kBatch || sequence.request.submit.priority == priority;
  };
  for (const ipc::Priority each : {ipc::Priority::kInteractive, ipc::Priority::kBatch}) {
    for (const Sequence* sequence : queue_.waiting(each)) {
      if (counts(*sequence)) add(waiting, *sequence);
    }
  }
  for (const Sequence* sequence : resuming_) {
    if (counts(*sequence)) add(waiting, *sequence);
  }
  for (const Sequence* sequence : streams_) {
    if (sequence != nullptr) add(running, *sequence);
  }
  return LoadEstimate::seconds(waiting, running, options_.streams, costs_);
}

// It would not wait: a batch sequence gives way to it.
bool Scheduler::takes_a_stream(ipc::Priority priority) const {
  return options_.overcommit && priority == ipc::Priority::kInteractive &&
         !queue_.waits(priority) && next_to_preempt() != nullptr;
}

// Requests that one of this class would wait for.
std::uint32_t Scheduler::waiting_before(ipc::Priority priority) const {
  return priority == ipc::Priority::kBatch ? queue_.requests() : queue_.requests(priority);
}

Error Scheduler::busy_error(const ipc::Submit& submit, std::string message) const {
  return Error{Code::kBusy, std::move(message)}.with_backlog(
      {waiting_before(submit.priority), wait_seconds(submit.priority)});
}

// Of one that would have to queue: nothing if it may.
std::optional<Error> Scheduler::no_room(const ipc::Submit& submit) const {
  if (queue_.requests() >= options_.queue_requests_max) {
    return busy_error(submit, std::to_string(queue_.requests()) +
                                  " requests are waiting for this model; try again later");
  }
  if (submit.tenant != 0 && queue_.requests_of(submit.tenant) >= queue_share()) {
    return busy_error(submit, std::to_string(queue_.requests_of(submit.tenant)) +
                                  " of your requests are waiting for this model, and others must "
                                  "have room, too; try again later");
  }
  if (submit.deadline_ms == 0) return std::nullopt;
  const auto wait = wait_seconds(submit.priority);
  if (wait && std::uint64_t{*wait} * 1000 > submit.deadline_ms) {
    return busy_error(submit, "it cannot begin before its deadline: it would wait for about " +
                                  std::to_string(*wait) +
                                  " s; try again later, or give it more "
                                  "time (X-Aioss-Deadline)");
  }
  return std::nullopt;
}

void Scheduler::describe_load(std::int64_t now_ns) {
  const double seconds = static_cast<double>(now_ns - stats_sent_ns_) / kNsPerSecond;
  const std::uint64_t made = stats_.completion_tokens - tokens_told_;
  tokens_told_ = stats_.completion_tokens;
  const double speed = seconds > 0 ? static_cast<double>(made) / seconds : 0;
  stats_.tokens_per_second = static_cast<float>(std::min(speed, kSpeedMax));
  stats_.waiting_batch = queue_.requests(ipc::Priority::kBatch);
  stats_.decode_step_ns = static_cast<std::uint64_t>(costs_.decode_step_ns());
  stats_.chunk_ns = static_cast<std::uint64_t>(costs_.prefill_ns_per_token() * kChunkShown);
  stats_.wait_seconds = starts_at_once() ? 0 : wait_seconds(ipc::Priority::kInteractive);
  stats_.tenants = queue_.loads(ipc::kStatsTenantsMax);
}

}  // namespace aioss::worker
