// A thread for what the io thread must not do because it waits for a disk: jobs, one after the
// other, and something once a second. run() from any thread.
#pragma once

#include <functional>
#include <string>
#include <thread>

#include "base/bounded_queue.h"

namespace aioss::server {

// Jobs are rare; more of them than this at once is a mistake.
inline constexpr std::size_t kSideJobsMax = 16;

class SideThread final {
 public:
  using Job = std::function<void()>;
  // `every_second` runs between jobs, about once a second; may be empty.
  explicit SideThread(const std::string& name, Job every_second = nullptr);
  ~SideThread();  // runs what is queued, then ends
  SideThread(const SideThread&) = delete;
  SideThread& operator=(const SideThread&) = delete;

  bool run(Job job);  // false: too many are waiting

 private:
  void loop(const std::string& name);

  const Job every_second_;
  BoundedQueue<Job> jobs_{kSideJobsMax};
  std::thread thread_;
};

}  // namespace aioss::server
