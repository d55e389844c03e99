#include "runtime/room/memory_gauges.h"

#include <string>

namespace aioss::runtime {

MemoryGauges::MemoryGauges(MetricRegistry& metrics)
    : limit_(metrics.gauge("aioss_memory_limit_bytes",
                           "What models may take of the host's memory now; 0: no limit is known.")),
      leased_(metrics.gauge("aioss_memory_leased_bytes",
                            "What models were given of it: GET /admin/memory says for what.")),
      used_(metrics.gauge("aioss_memory_used_bytes",
                          "That, or of a model that was measured to have more, what it has.")),
      evictions_(metrics.gauge("aioss_model_evictions",
                               "Models unloaded by this server's own decision, so far.")),
      warm_(metrics.gauge("aioss_models_warm",
                          "Models that keep their weights in memory and nothing else.")) {}

void MemoryGauges::set(const memory::Pool& pool, std::uint64_t evictions, std::size_t models_warm) {
  const memory::Balance host = pool.balance(std::string(memory::kHost));
  limit_.set(host.limit == memory::kUnlimited ? 0 : static_cast<double>(host.limit));
  leased_.set(static_cast<double>(host.leased));
  used_.set(static_cast<double>(host.used));
  evictions_.set(static_cast<double>(evictions));
  warm_.set(static_cast<double>(models_warm));
}

}  // namespace aioss::runtime
