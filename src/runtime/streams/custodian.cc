#include "runtime/streams/custodian.h"

#include <chrono>
#include <utility>

#include "base/assert.h"
#include "os/thread.h"

namespace aioss::runtime {
namespace {

constexpr auto kWait = std::chrono::seconds(60);  // only to have a deadline; close() wakes it

}  // namespace

Custodian::Custodian(ledger::Custody& custody, std::size_t streams_max, Drive drive)
    : custody_(custody), jobs_(streams_max) {
  if (drive == Drive::kThread) thread_ = std::thread([this] { run(); });
}

Custodian::~Custodian() {
  jobs_.close();
  if (thread_.joinable()) thread_.join();
  while (run_pending()) continue;  // what nobody has driven by hand
}

bool Custodian::run_pending() {
  const auto job = jobs_.try_pop();
  if (job) (*job)(custody_);
  return job.has_value();
}

bool Custodian::post(Job job) {
  const auto pushed = jobs_.try_push(std::move(job));
  ASSERT(pushed != BoundedQueue<Job>::Push::kFull);
  return pushed == BoundedQueue<Job>::Push::kAccepted;
}

void Custodian::run() {
  os::set_thread_name("custodian");
  while (!jobs_.closed() || jobs_.size() > 0) {
    if (const auto job = jobs_.pop_for(kWait)) (*job)(custody_);
  }
}

}  // namespace aioss::runtime
