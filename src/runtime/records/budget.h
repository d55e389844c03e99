// How many records each tenant may cause: a bucket that fills at a steady rate, so that one tenant
// can neither fill the ledger's disk nor keep its queue from others. Thread-safe; time comes from
// the monotonic clock.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "base/clock.h"

namespace aioss::runtime {

// INFER_REQUEST, and INFER_RESULT or INFER_ABORT.
inline constexpr std::uint32_t kRecordsPerRequest = 2;
// Far more than a key file can name; those with a full bucket are forgotten first.
inline constexpr std::size_t kTenantsMax = 4'096;
inline constexpr std::uint32_t kRecordRateMax = 1'000'000;

class RecordBudget final {
 public:
  // Records a second, and how many at once after a pause. A rate of 0: no bound.
  RecordBudget(const Clock& clock, std::uint32_t rate, std::uint32_t burst);

  // Takes so many records from the tenant's bucket; false if they are not in it.
  bool take(const std::string& tenant, std::uint32_t records);
  std::uint32_t rate() const { return rate_; }

 private:
  const Clock& clock_;
  const std::uint32_t rate_;
  const std::int64_t capacity_ns_;  // the time in which an empty bucket fills
  std::mutex mutex_;
  // When each bucket will be full again; guarded by mutex_.
  std::map<std::string, std::int64_t> full_at_ns_;
};

}  // namespace aioss::runtime
