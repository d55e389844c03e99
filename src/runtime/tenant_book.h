// How many requests each tenant has in the gateway, until they end, and the tenants' numbers, which
// is how workers know them. As many entries as tenants with requests. Thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

namespace aioss::runtime {

// The same for the same name, in this process. 0: callers without keys, who are one tenant
// ("local"), which no key can be of; it has its turns among the others.
std::uint64_t tenant_number(const std::string& tenant);

class TenantBook final {
 public:
  // False if it has `most` already; 0: there is no bound.
  bool enter(const std::string& tenant, std::uint32_t most);
  void leave(const std::string& tenant);
  std::uint32_t requests_of(const std::string& tenant) const;
  // Of those that have requests, and of 0, by number.
  std::map<std::uint64_t, std::string> names() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::uint32_t> requests_;  // guarded by mutex_
};

}  // namespace aioss::runtime
