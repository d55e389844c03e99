#include "runtime/tuning/tune_runs.h"

#include <algorithm>
#include <utility>

namespace aioss::runtime {
namespace {

// Beyond the end of the time: what was begun before it may end, and a hang is noticed.
constexpr std::int64_t kGraceNs = 5'000'000'000;
// Models are read from disks.
constexpr std::int64_t kOpenNs = 120'000'000'000;

constexpr std::uint32_t slot_of(TuneBench::Place place) {
  return place == TuneBench::Place::kDefault ? 0 : 1;
}

}  // namespace

Status ChildBench::open(const std::string& engine) {
  AIOSS_TRY([[maybe_unused]] const TuneChild* const child,
            child_of(engine, parts_.clock.monotonic_ns() + kOpenNs));
  return ok();
}

Result<TuneChild*> ChildBench::child_of(const std::string& engine, std::int64_t until_ns) {
  std::unique_ptr<TuneChild>& child = open_[engine];
  if (child && child->is_alive()) return child.get();
  child.reset();
  if (default_ && default_->engine == engine) default_is_begun_ = false;
  TuneChild::Options options;
  options.executable = parts_.executable;
  AIOSS_TRY(options.engine, engine_of(parts_.engines, engine));
  AIOSS_TRY(child, TuneChild::start(parts_.files, options, parts_.clock, parts_.stop));
  ++children_;
  ipc::TuneOpen open = parts_.open;
  open.engine = engine;
  auto opened = child->ask(open, until_ns);
  if (!opened) {
    child.reset();
    return std::move(opened).error();
  }
  if (streams_ == 0) streams_ = std::max(opened->streams, 1U);
  return child.get();
}

// The candidate before this one may have taken the default's session with it.
Status ChildBench::begin_default_again(std::int64_t until_ns) {
  if (!default_) return ok();
  AIOSS_TRY(TuneChild* const child, child_of(default_->engine, until_ns));
  if (default_is_begun_) return ok();
  AIOSS_CHECK(child->ask(ipc::TuneBegin{slot_of(Place::kDefault), default_->knobs}, until_ns));
  default_is_begun_ = true;
  return ok();
}

Result<std::vector<ipc::Token>> ChildBench::begin(Place place, const TuneCandidate& candidate,
                                                  std::int64_t until_ns) {
  until_ns += kGraceNs;
  if (place == Place::kCandidate) AIOSS_CHECK(begin_default_again(until_ns));
  (place == Place::kDefault ? default_ : candidate_) = candidate;
  std::erase_if(open_, [&](const auto& one) {  // each has the whole model
    const bool is_default = default_ && default_->engine == one.first;
    return !is_default && one.first != candidate.engine;
  });
  AIOSS_TRY(TuneChild* const child, child_of(candidate.engine, until_ns));
  AIOSS_TRY(ipc::TuneReport report,
            child->ask(ipc::TuneBegin{slot_of(place), candidate.knobs}, until_ns));
  if (place == Place::kDefault) default_is_begun_ = true;
  return std::move(report.canary);
}

Result<TuneBench::Figures> ChildBench::run(Place place, ipc::Regime regime, std::uint32_t tokens,
                                           std::int64_t until_ns) {
  const auto& running = place == Place::kDefault ? default_ : candidate_;
  const auto found = running ? open_.find(running->engine) : open_.end();
  if (found == open_.end() || !found->second) {
    return Error{Code::kWorkerDied, "the process that computed it is gone"};
  }
  AIOSS_TRY(const ipc::TuneReport report,
            found->second->ask(ipc::TuneRun{slot_of(place), regime, tokens}, until_ns + kGraceNs));
  return Figures{report.tokens, report.ns};
}

void ChildBench::end(Place place) {
  auto& running = place == Place::kDefault ? default_ : candidate_;
  if (!running) return;
  const auto found = open_.find(running->engine);
  if (found != open_.end() && found->second && found->second->is_alive()) {
    (void)found->second->ask(ipc::TuneEnd{slot_of(place)}, parts_.clock.monotonic_ns() + kGraceNs);
  }
  running.reset();
}

}  // namespace aioss::runtime
