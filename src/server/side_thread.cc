#include "server/side_thread.h"

#include <chrono>
#include <utility>

#include "os/thread.h"

namespace aioss::server {

SideThread::SideThread(const std::string& name, Job every_second)
    : every_second_(std::move(every_second)), thread_([this, name] { loop(name); }) {}

SideThread::~SideThread() {
  jobs_.close();
  thread_.join();
}

bool SideThread::run(Job job) {
  return jobs_.try_push(std::move(job)) == BoundedQueue<Job>::Push::kAccepted;
}

void SideThread::loop(const std::string& name) {
  os::set_thread_name(name);
  while (true) {
    // Jobs are rare, so waiting a full second after each is near enough to once a second.
    const auto job = jobs_.pop_for(std::chrono::seconds(1));
    if (job.has_value()) (*job)();
    if (!job.has_value() && jobs_.closed()) return;
    if (every_second_) every_second_();
  }
}

}  // namespace aioss::server
