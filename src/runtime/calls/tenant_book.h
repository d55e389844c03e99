// How many requests each tenant has in the gateway, until they end, and the tenants' numbers, which
// is how workers know them. As many entries as tenants with requests. Thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "runtime/calls/principal.h"

namespace aioss::runtime {

// Whose turn it is with whom, and who shares prefixes: the tenant; of callers without one, which
// come over the Unix socket, each user by themselves.
std::string turn_name(const Principal& principal);
// The same for the same name, in this process. 0: everybody who came without a key over TCP, which
// is one tenant ("local"), which no key can be of.
std::uint64_t tenant_number(const std::string& turn_name);

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
