#include "runtime/tuning/tuner.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "os/thread.h"
#include "runtime/calls/stopping.h"
#include "runtime/tuning/tune_runs.h"

namespace aioss::runtime {
namespace {

constexpr std::chrono::hours kIdle{1};  // a closed queue wakes it

}  // namespace

Result<TuningResult> measure(const TuningJob& job, const TunerOptions& options, const Clock& clock,
                             const std::atomic<bool>& stop, const TuningProgress& progress) {
  ChildBench bench({*job.files, options.executable, options.engines, job.open, clock, stop});
  AIOSS_CHECK(bench.open(job.space.engines.front()));
  AIOSS_TRY(TuningResult result, search(job.space, bench, clock, job.budget_ns, progress));
  if (stop.load()) return Error{Code::kShuttingDown, "measuring was stopped"};
  if (job.files->was_changed()) {
    return Error{Code::kModelCorrupt, "the file was written to while it was measured; try again"};
  }
  return result;
}

Tuner::Tuner(TunerOptions options, const Clock& clock, TuningStore& store)
    : options_(std::move(options)), clock_(clock), store_(store), thread_([this] { run(); }) {}

Tuner::~Tuner() {
  stop();
  thread_.join();
}

void Tuner::stop() {
  stopping_.store(true);
  interrupted_.store(true);
  jobs_.close();
}

void Tuner::tune(TuningJob job, Done done) {
  // Before it is there to be interrupted; who measures one model at a time ends no other one so.
  interrupted_.store(false);
  if (stopping_.load()) interrupted_.store(true);  // stop() may have come in between
  const Done refused = done;
  switch (jobs_.try_push({std::move(job), std::move(done), ""})) {
    case BoundedQueue<Waiting>::Push::kAccepted:
      return;
    case BoundedQueue<Waiting>::Push::kFull:
      return refused(Error{Code::kBusy, "too many models are being measured; try again later"});
    case BoundedQueue<Waiting>::Push::kClosed:
      return refused(gateway_stopping());
  }
}

void Tuner::run() {
  os::set_thread_name("tune");
  for (;;) {
    auto next = jobs_.pop_for(kIdle);
    if (!next) {
      if (jobs_.closed()) return;
      continue;
    }
    carry_out(*next);
  }
}

void Tuner::carry_out(const Waiting& waiting) {
  const TuningJob& job = waiting.job;
  if (!waiting.done) {
    return carry_out_taking_back(job.key, waiting.taken_back);
  }
  if (stopping_.load()) return waiting.done(gateway_stopping());
  const Result<TuningResult> result = measure(job, options_, clock_, interrupted_);
  if (result) store_.put(job.key, {job.model, clock_.wall_ns(), *result});
  waiting.done(result);
}

// What another process has found since is not what failed.
void Tuner::carry_out_taking_back(const TuningKey& key, const std::string& why) {
  const auto failed = store_.find(key);
  store_.take_in_newer();
  auto known = store_.find(key);
  if (!failed || !known || known->wall_ns != failed->wall_ns) return;
  known->result.choice = {0, "what was chosen was taken back: " + why};
  known->wall_ns = std::max(clock_.wall_ns(), known->wall_ns + 1);
  store_.put(key, std::move(*known));
}

void Tuner::take_back(TuningKey key, std::string why) {
  Waiting waiting;
  waiting.job.key = std::move(key);
  waiting.taken_back = std::move(why);
  (void)jobs_.try_push(
      std::move(waiting));  // if there is no place, it is tried and taken back again
}

}  // namespace aioss::runtime
