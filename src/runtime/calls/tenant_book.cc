#include "runtime/calls/tenant_book.h"

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include "base/assert.h"

namespace aioss::runtime {

std::string turn_name(const Principal& principal) {
  const bool of_a_socket = principal.source.starts_with("unix:");
  if (!of_a_socket || principal.tenant != Principal().tenant) return principal.tenant;
  return principal.tenant + "/" + principal.user;
}

std::uint64_t tenant_number(const std::string& turn_name) {
  if (turn_name == Principal().tenant) return 0;
  return std::max<std::uint64_t>(std::hash<std::string>()(turn_name), 1);
}

bool TenantBook::enter(const std::string& tenant, std::uint32_t most) {
  std::lock_guard lock(mutex_);
  const auto found = requests_.find(tenant);
  const std::uint32_t requests = found == requests_.end() ? 0 : found->second;
  if (most > 0 && requests >= most) return false;
  ++requests_[tenant];
  return true;
}

void TenantBook::leave(const std::string& tenant) {
  std::lock_guard lock(mutex_);
  const auto found = requests_.find(tenant);
  ASSERT(found != requests_.end() && found->second > 0);
  if (--found->second == 0) requests_.erase(found);
}

std::uint32_t TenantBook::requests_of(const std::string& tenant) const {
  std::lock_guard lock(mutex_);
  const auto found = requests_.find(tenant);
  return found == requests_.end() ? 0 : found->second;
}

// The lock is not held while they are hashed: every request needs it.
std::map<std::uint64_t, std::string> TenantBook::names() const {
  std::vector<std::string> known{Principal().tenant};
  {
    std::lock_guard lock(mutex_);
    for (const auto& [name, requests] : requests_) known.push_back(name);
  }
  std::map<std::uint64_t, std::string> out;
  for (std::string& name : known) {
    const std::uint64_t number = tenant_number(name);
    out.emplace(number, std::move(name));
  }
  return out;
}

}  // namespace aioss::runtime
