// Where streams are counted: how many there are and how many bytes of prompts they hold until they
// end, so that both have a bound, and where a thread can wait for the last one to end. Shared with
// the streams, which may outlive the gateway by what their consumers need to read the end.
// Thread-safe.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>

#include "base/bounded_queue.h"
#include "base/metrics.h"
#include "runtime/calls/tenant_book.h"
#include "runtime/records/tally.h"
#include "runtime/streams/stream_state.h"

namespace aioss::runtime {

class Supervisor;
// What the runtime thread does next. Everything that owns a worker or a model happens in one.
using Task = std::function<void(Supervisor&)>;
using TaskQueue = BoundedQueue<Task>;

// Prompts of all streams together, as encoded for the worker.
inline constexpr std::size_t kPromptBytesTotalMax = std::size_t{256} << 20;

class StreamDesk final : public StreamHost {
 public:
  // Metrics outlive the desk's use. `queue_capacity` holds what streams_max streams post and more.
  StreamDesk(std::uint32_t streams_max, std::size_t queue_capacity, MetricRegistry& metrics,
             std::shared_ptr<Tally> tally);

  TaskQueue& tasks() { return tasks_; }
  TenantBook& tenants() { return tenants_; }  // of the streams
  // How many erasures there were: a stream from before the last one leaves no prefix.
  std::uint64_t erasures() const override { return erasures_.load(); }
  void count_erasure() { ++erasures_; }
  // For messages that must not be lost; the queue's capacity is derived so that they never are.
  // After the queue was closed they have no meaning and are dropped.
  void post(Task task);

  // Takes a place for a stream, or not (too many, or too much text).
  bool enter(std::size_t prompt_bytes);
  // Gives it back: from the runtime thread, after the stream's last task.
  void leave(std::size_t prompt_bytes);
  std::uint32_t streams() const;
  // True if there was none in time.
  bool wait_until_empty(std::chrono::milliseconds timeout);

  void stop_worker(ipc::RequestId id) override;
  void drained(const StreamState& stream) override;
  void waited(std::int64_t nanoseconds) override;
  void refused(const StreamState& stream, Code why) override;
  void ended(const StreamState& stream, StreamOutcome outcome) override;

 private:
  const std::uint32_t streams_max_;
  TenantBook tenants_;
  std::atomic<std::uint64_t> erasures_{0};
  TaskQueue tasks_;
  const std::shared_ptr<Tally> tally_;
  Gauge& active_;
  Counter& done_;
  Counter& cancelled_;
  Counter& failed_;
  Histogram& queue_wait_;

  mutable std::mutex mutex_;
  std::condition_variable empty_;
  std::uint32_t streams_ = 0;     // guarded by mutex_
  std::size_t prompt_bytes_ = 0;  // guarded by mutex_
};

}  // namespace aioss::runtime
