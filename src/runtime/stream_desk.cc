#include "runtime/stream_desk.h"

#include <utility>

#include "base/assert.h"
#include "base/clock.h"
#include "runtime/supervisor.h"

namespace aioss::runtime {
namespace {

Counter& ends(MetricRegistry& metrics, std::string_view outcome) {
  return metrics.counter("aioss_inferences_total", "Requests that ended, by how they ended.",
                         {{"outcome", std::string(outcome)}});
}

}  // namespace

StreamDesk::StreamDesk(std::uint32_t streams_max, std::size_t queue_capacity,
                       MetricRegistry& metrics, std::shared_ptr<Tally> tally)
    : streams_max_(streams_max),
      tasks_(queue_capacity),
      tally_(std::move(tally)),
      active_(metrics.gauge("aioss_streams_active", "Requests that have not ended.")),
      done_(ends(metrics, "done")),
      cancelled_(ends(metrics, "cancelled")),
      failed_(ends(metrics, "failed")),
      queue_wait_(metrics.histogram("aioss_queue_wait_seconds",
                                    "From a request's submission to its first computation, the "
                                    "load of its model included.",
                                    latency_buckets())) {}

void StreamDesk::post(Task task) {
  ASSERT(tasks_.try_push(std::move(task)) != TaskQueue::Push::kFull);
}

bool StreamDesk::enter(std::size_t prompt_bytes) {
  std::lock_guard lock(mutex_);
  if (streams_ >= streams_max_ || prompt_bytes > kPromptBytesTotalMax - prompt_bytes_) return false;
  ++streams_;
  prompt_bytes_ += prompt_bytes;
  active_.set(streams_);
  return true;
}

void StreamDesk::leave(std::size_t prompt_bytes) {
  std::lock_guard lock(mutex_);
  ASSERT(streams_ > 0 && prompt_bytes_ >= prompt_bytes);
  --streams_;
  prompt_bytes_ -= prompt_bytes;
  active_.set(streams_);
  if (streams_ == 0) empty_.notify_all();
}

std::uint32_t StreamDesk::streams() const {
  std::lock_guard lock(mutex_);
  return streams_;
}

bool StreamDesk::wait_until_empty(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  return empty_.wait_for(lock, timeout, [&] { return streams_ == 0; });
}

void StreamDesk::stop_worker(ipc::RequestId id) {
  post([id](Supervisor& supervisor) { supervisor.stop_request(id); });
}

void StreamDesk::drained(const StreamState& stream) {
  post([id = stream.id()](Supervisor& supervisor) { supervisor.give_credit(id); });
}

void StreamDesk::waited(std::int64_t nanoseconds) {
  queue_wait_.observe(static_cast<double>(nanoseconds) / kNsPerSecond);
}

void StreamDesk::refused(const StreamState& stream, Code why) {
  tally_->decided({std::string(ledger::decision_kind::kAdmission),
                   std::string(ledger::decision_outcome::kRefused), std::string(info(why).name),
                   stream.model(), ""});
}

void StreamDesk::ended(const StreamState& stream, StreamOutcome outcome) {
  if (outcome == StreamOutcome::kDone) done_.add();
  if (outcome == StreamOutcome::kCancelled) cancelled_.add();
  if (outcome == StreamOutcome::kFailed) failed_.add();
  // Streams are const for their host, not in themselves: gateways make them.
  post([ended = std::const_pointer_cast<StreamState>(stream.shared_from_this())](
           Supervisor& supervisor) {
    ended->drop_prompt();  // from here on it is not counted
    supervisor.stream_ended(ended->id());
  });
}

}  // namespace aioss::runtime
