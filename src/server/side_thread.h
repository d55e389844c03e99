// What the io thread must not do because it waits for the disk: rescans of the models directory,
// and the look at the key file once a second. One thread named "side"; run() from any thread.
#pragma once

#include <functional>
#include <thread>

#include "base/bounded_queue.h"

namespace aioss::server {

// Rescans are rare and made by operators; more of them than this at once is a mistake.
inline constexpr std::size_t kSideJobsMax = 16;

class SideThread final {
 public:
  using Job = std::function<void()>;
  // `every_second` runs between jobs, about once a second; may be empty.
  explicit SideThread(Job every_second);
  ~SideThread();  // runs what is queued, then ends
  SideThread(const SideThread&) = delete;
  SideThread& operator=(const SideThread&) = delete;

  bool run(Job job);  // false: too many are waiting

 private:
  void loop();

  const Job every_second_;
  BoundedQueue<Job> jobs_{kSideJobsMax};
  std::thread thread_;
};

}  // namespace aioss::server
