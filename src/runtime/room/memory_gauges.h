// The books of the host's memory, and how often somebody had to go, for /metrics.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/metrics.h"
#include "memory/pool.h"

namespace aioss::runtime {

class MemoryGauges final {
 public:
  explicit MemoryGauges(MetricRegistry& metrics);
  void set(const memory::Pool& pool, std::uint64_t evictions, std::size_t models_warm = 0);

 private:
  Gauge& limit_;
  Gauge& leased_;
  Gauge& used_;
  Gauge& evictions_;
  Gauge& warm_;
};

}  // namespace aioss::runtime
