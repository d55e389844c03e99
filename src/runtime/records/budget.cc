#include "runtime/records/budget.h"

#include <algorithm>

#include "base/assert.h"
#include "base/clock.h"

namespace aioss::runtime {
namespace {

std::int64_t time_of(std::uint32_t records, std::uint32_t rate) {
  return static_cast<std::int64_t>(records) * kNsPerSecond / static_cast<std::int64_t>(rate);
}

}  // namespace

RecordBudget::RecordBudget(const Clock& clock, std::uint32_t rate, std::uint32_t burst)
    : clock_(clock), rate_(rate), capacity_ns_(rate == 0 ? 0 : time_of(burst, rate)) {
  ASSERT(rate == 0 || (rate <= kRecordRateMax && burst >= kRecordsPerRequest));
}

bool RecordBudget::take(const std::string& tenant, std::uint32_t records) {
  if (rate_ == 0) return true;
  const std::int64_t now = clock_.monotonic_ns();
  std::lock_guard lock(mutex_);
  const auto known = full_at_ns_.find(tenant);
  if (known == full_at_ns_.end() && full_at_ns_.size() >= kTenantsMax) {
    std::erase_if(full_at_ns_, [now](const auto& entry) { return entry.second <= now; });
    if (full_at_ns_.size() >= kTenantsMax) return false;
  }
  const std::int64_t full_at = known == full_at_ns_.end() ? now : std::max(known->second, now);
  const std::int64_t then = full_at + time_of(records, rate_);
  if (then - now > capacity_ns_) return false;
  full_at_ns_[tenant] = then;
  return true;
}

}  // namespace aioss::runtime
