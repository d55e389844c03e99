#include "runtime/dry_runs/child_planner.h"

#include <future>

#include "base/assert.h"
#include "os/thread.h"
#include "runtime/calls/stopping.h"
#include "runtime/catalogue/engines.h"
#include "runtime/settings/gateway_options.h"

namespace aioss::runtime {
namespace {

memory::Needs needs_of(const ipc::PlannedSession& session, const PlanWanted& wanted) {
  memory::Needs needs = session.needs;
  needs.prefixes = wanted.prefix_bytes;
  needs.spill = wanted.spill_bytes;
  return needs;
}

PlanSurvey survey_of(const ipc::PlanReport& report, const PlanWanted& wanted) {
  PlanSurvey survey;
  survey.plan.needs = needs_of(report.asked, wanted);
  survey.plan.exact = report.asked.exact;
  survey.plan.streams = report.asked.streams;
  survey.plan.cells_per_stream = report.asked.cells_per_stream;
  survey.plan.layers_on = report.asked.device;
  survey.plan.layers = report.asked.layers;
  survey.plan.on_devices = report.asked.devices;
  survey.context_tokens_train = report.context_tokens_train;
  for (const ipc::PlannedSession& option : report.options) {
    survey.options.push_back(
        {"", option.streams, option.cells_per_stream, option.kv_type, needs_of(option, wanted)});
  }
  survey.devices = report.devices;
  return survey;
}

}  // namespace

ChildPlannerOptions planner_options(const GatewayOptions& options) {
  ChildPlannerOptions out;
  out.child.executable = options.worker_executable;
  out.speculation = options.speculation;
  out.prefill_chunk_tokens_max = options.prefill_chunk_tokens_max;
  out.engines = options.engines;
  return out;
}

ChildPlanner::ChildPlanner(ChildPlannerOptions options, const Clock& clock, PlanStore* store)
    : options_(std::move(options)), clock_(clock), store_(store) {
  for (std::size_t i = 0; i < kPlansAtOnceMax; ++i) threads_.emplace_back([this] { run(); });
}

ChildPlanner::~ChildPlanner() {
  stop();
  for (std::thread& thread : threads_) thread.join();
}

void ChildPlanner::stop() {
  stopping_.store(true);
  jobs_.close();
}

void ChildPlanner::plan(std::shared_ptr<const OpenModel> files, PlanWanted wanted, Done done) {
  survey(std::move(files), std::move(wanted), 0,
         [done = std::move(done)](Result<PlanSurvey> survey) {
           if (survey) {
             done(std::move(survey->plan));
           } else {
             done(std::move(survey).error());
           }
         });
}

void ChildPlanner::survey(std::shared_ptr<const OpenModel> files, PlanWanted wanted,
                          std::uint64_t room_bytes, SurveyDone done) {
  ASSERT(!wanted.device.empty());
  Job job{std::move(files), std::move(wanted), room_bytes, std::move(done)};
  if (auto known = find(job)) return job.done(std::move(*known));
  const SurveyDone refused = job.done;
  EngineFile engine{job.wanted.engine, job.wanted.engine_sha256};
  switch (jobs_.try_push(std::move(engine), std::move(job))) {
    case Jobs::Push::kAccepted:
      return;
    case Jobs::Push::kFull:
      return refused(Error{Code::kBusy, "too many models are being planned; try again later"});
    case Jobs::Push::kClosed:
      return refused(gateway_stopping());
  }
}

Result<PlanSurvey> ChildPlanner::survey_and_wait(std::shared_ptr<const OpenModel> files,
                                                 PlanWanted wanted, std::uint64_t room_bytes) {
  const auto promise = std::make_shared<std::promise<Result<PlanSurvey>>>();
  auto future = promise->get_future();
  survey(std::move(files), std::move(wanted), room_bytes,
         [promise](Result<PlanSurvey> survey) { promise->set_value(std::move(survey)); });
  return future.get();
}

ChildPlanner::Key ChildPlanner::key_of(const Job& job) {
  return {identity_of(job.files->parts), job.wanted};
}

void ChildPlanner::run() {
  os::set_thread_name("plan");
  std::call_once(read_, [this] {
    if (store_ != nullptr) store_->read();
  });
  while (auto job = jobs_.pop()) {
    answer(job->work);
    jobs_.release(job->lane);
  }
}

// Who asked goes on before the disk is written to.
void ChildPlanner::answer(const Job& job) {
  if (auto known = find(job)) return job.done(std::move(*known));  // since it was asked
  const Result<ipc::PlanReport> report = carry_out(job);
  if (!report) return job.done(report.error());
  PlanSurvey survey = survey_of(*report, job.wanted);
  PlanSurvey lasting = survey;
  lasting.options.clear();  // they depend on the memory of the moment
  keep(key_of(job), lasting);
  job.done(std::move(survey));
  if (store_ != nullptr) store_->put(job.files->parts, ask_of(job), *report, clock_.wall_ns());
}

ipc::PlanAsk ChildPlanner::ask_of(const Job& job) const {
  ipc::PlanAsk ask;
  ask.engine = job.wanted.engine;
  ask.engine_sha256 = job.wanted.engine_sha256;
  ask.profile = job.wanted.profile;
  ask.streams = job.wanted.streams;
  ask.cells_per_stream = job.wanted.cells_per_stream;
  ask.threads = job.wanted.threads;
  ask.kv_type = job.wanted.kv_type;
  ask.threads_batch = job.wanted.threads_batch;
  ask.micro_batch_tokens_max = job.wanted.micro_batch_tokens_max;
  ask.flash_attention = job.wanted.flash_attention;
  ask.speculation = options_.speculation;
  ask.prefill_chunk_tokens_max = options_.prefill_chunk_tokens_max;
  ask.room_bytes = job.room_bytes;
  ask.device = job.wanted.device;
  ask.device_rooms = job.wanted.device_rooms;
  return ask;
}

Result<ipc::PlanReport> ChildPlanner::carry_out(const Job& job) {
  if (stopping_.load()) return gateway_stopping();
  PlanChildOptions child = options_.child;
  AIOSS_TRY(child.engine, engine_of(options_.engines, job.wanted.engine));
  ++children_;
  AIOSS_TRY(ipc::PlanReport report,
            run_plan_child(*job.files, ask_of(job), child, clock_, stopping_));
  if (job.files->was_changed()) {
    return Error{Code::kModelCorrupt, "the file was written to while it was planned; try again"};
  }
  return report;
}

// What is known, unless options must be looked for.
std::optional<PlanSurvey> ChildPlanner::find(const Job& job) {
  {
    std::lock_guard lock(mutex_);
    const auto found = kept_.find(key_of(job));
    if (found != kept_.end()) {
      const bool fits = found->second.plan.needs.committed() <= job.room_bytes;
      if (job.room_bytes > 0 && !fits) return std::nullopt;
      return found->second;
    }
  }
  if (store_ == nullptr || job.room_bytes > 0) return std::nullopt;
  const auto report = store_->find(identity_of(job.files->parts), ask_of(job));
  if (!report) return std::nullopt;
  PlanSurvey survey = survey_of(*report, job.wanted);
  survey.devices.clear();
  return survey;
}

void ChildPlanner::keep(const Key& key, const PlanSurvey& survey) {
  std::lock_guard lock(mutex_);
  if (!kept_.insert_or_assign(key, survey).second) return;
  order_.push_back(key);
  if (order_.size() <= kPlansKeptMax) return;
  kept_.erase(order_.front());
  order_.pop_front();
}

}  // namespace aioss::runtime
