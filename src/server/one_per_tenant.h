// Which tenants have a job waiting or running: one each, so that no tenant takes all places of a
// queue that others need. Thread-safe; no larger than the queue it stands before.
#pragma once

#include <mutex>
#include <set>
#include <string>

namespace aioss::server {

class OnePerTenant final {
 public:
  // False: the tenant has one already.
  bool enter(const std::string& tenant) {
    std::lock_guard lock(mutex_);
    return inside_.insert(tenant).second;
  }
  void leave(const std::string& tenant) {
    std::lock_guard lock(mutex_);
    inside_.erase(tenant);
  }

 private:
  std::mutex mutex_;
  std::set<std::string> inside_;  // guarded by mutex_
};

}  // namespace aioss::server
