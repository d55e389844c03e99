// What workers say of themselves about once a second, summed over those there are, as gauges. One
// place for each: worker_gauges.cc. Runtime thread only.
#pragma once

#include <span>
#include <vector>

#include "base/metrics.h"
#include "ipc/messages.h"

namespace aioss::runtime {

class WorkerGauges final {
 public:
  // The registry outlives them.
  explicit WorkerGauges(MetricRegistry& metrics);
  void set(std::span<const ipc::Stats> workers);

 private:
  std::vector<Gauge*> gauges_;  // the registry's, in the order of the table
};

}  // namespace aioss::runtime
