#include "runtime/lives/worker_gauges.h"

#include <array>
#include <cstddef>

namespace aioss::runtime {
namespace {

struct Shown {
  const char* name;
  const char* help;
  double (*of)(const ipc::Stats& worker);
};

constexpr std::array kShown{
    Shown{"aioss_sequences_parked", "Sequences in a worker that wait until their client reads.",
          [](const ipc::Stats& s) { return static_cast<double>(s.parked); }},
    Shown{"aioss_sequences_spilled", "Sequences that wait for their client in a worker's memory.",
          [](const ipc::Stats& s) { return static_cast<double>(s.spilled); }},
    Shown{"aioss_spilled_bytes", "What those take of the memory.",
          [](const ipc::Stats& s) { return static_cast<double>(s.spilled_bytes); }},
    Shown{"aioss_worker_tokens_generated", "Tokens that the workers there are have computed.",
          [](const ipc::Stats& s) { return static_cast<double>(s.completion_tokens); }},
    Shown{"aioss_prefixes", "States of prompts that workers keep for those that begin alike.",
          [](const ipc::Stats& s) { return static_cast<double>(s.prefixes); }},
    Shown{"aioss_prefix_bytes", "What those take of the memory.",
          [](const ipc::Stats& s) { return static_cast<double>(s.prefix_bytes); }},
    Shown{"aioss_worker_tokens_cached",
          "Tokens of prompts that the workers there are did not compute.",
          [](const ipc::Stats& s) { return static_cast<double>(s.cached_tokens); }},
    Shown{"aioss_worker_tokens_drafted", "Tokens that they have drafted (speculation).",
          [](const ipc::Stats& s) { return static_cast<double>(s.drafted_tokens); }},
    Shown{"aioss_worker_tokens_accepted", "Of the drafted ones, those that came true.",
          [](const ipc::Stats& s) { return static_cast<double>(s.accepted_tokens); }},
};

}  // namespace

WorkerGauges::WorkerGauges(MetricRegistry& metrics) {
  for (const Shown& shown : kShown) gauges_.push_back(&metrics.gauge(shown.name, shown.help));
}

void WorkerGauges::set(std::span<const ipc::Stats> workers) {
  for (std::size_t i = 0; i < kShown.size(); ++i) {
    double sum = 0;
    for (const ipc::Stats& worker : workers) sum += kShown[i].of(worker);
    gauges_[i]->set(sum);
  }
}

}  // namespace aioss::runtime
