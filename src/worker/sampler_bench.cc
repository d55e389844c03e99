// Microseconds a token, the best of many short rounds, for vocabularies of 49,152 and 262,144:
//   ninja bench_sampler && src/worker/bench_sampler
#include <cstdio>
#include <random>

#include "os/clock.h"
#include "worker/sampler.h"

namespace aioss::worker {
namespace {

struct Case {
  const char* name;
  ipc::Sampling parameters;
  LogprobOptions logprobs;
};

double microseconds(const Case& c, const std::vector<std::vector<float>>& rows) {
  constexpr int kTokens = 10;
  const os::SystemClock clock;
  SamplerScratch scratch;
  Sampler sampler(c.parameters, 0, std::vector<Token>{1, 2, 3, 4, 5, 6, 7, 8});
  std::int64_t best = INT64_MAX;
  for (int round = 0; round < 80; ++round) {
    const std::int64_t start = clock.monotonic_ns();
    for (int i = 0; i < kTokens; ++i) {
      const std::vector<float>& logits = rows[static_cast<std::size_t>(i) % rows.size()];
      const auto sampled = sampler.sample(logits, c.logprobs, scratch);
      if (!sampled) return -1;
      if (round == 0) sampler.accept(sampled->token);
    }
    best = std::min(best, clock.monotonic_ns() - start);
  }
  return static_cast<double>(best) / kTokens / 1000.0;
}

// Logits as a language model has them: a few peaks over a wide floor.
std::vector<float> row(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> floor(0.0F, 2.5F);
  std::vector<float> logits(size);
  for (float& x : logits) x = floor(random);
  for (int i = 0; i < 40; ++i) logits[random() % size] += 14.0F - static_cast<float>(i) * 0.2F;
  return logits;
}

}  // namespace

int main_bench() {
  ipc::Sampling greedy;
  greedy.temperature = 0;
  ipc::Sampling penalties = greedy;
  penalties.repetition_penalty = 1.1F;
  penalties.frequency_penalty = 0.1F;
  const std::vector<Case> cases = {
      {"greedy", greedy, {}},
      {"greedy, penalties", penalties, {}},
      {"greedy, 5 logprobs", greedy, {true, 5}},
      {"temperature 1", {}, {}},
      {"top-k 40", {.top_k = 40}, {}},
      {"top-p 0.95", {.top_p = 0.95F}, {}},
      {"min-p 0.05", {.min_p = 0.05F}, {}},
      {"top-k 40, top-p 0.9, min-p 0.05, t 0.8",
       {.temperature = 0.8F, .top_k = 40, .top_p = 0.9F, .min_p = 0.05F},
       {}},
      {"top-p 0.95, temperature 3 (flat)", {.temperature = 3.0F, .top_p = 0.95F}, {}},
  };
  for (const std::size_t size : {std::size_t{49152}, std::size_t{262144}}) {
    std::vector<std::vector<float>> rows;
    for (unsigned seed = 0; seed < 2; ++seed) rows.push_back(row(size, seed));
    for (const Case& c : cases) {
      std::printf("%7zu  %-42s %8.1f us\n", size, c.name, microseconds(c, rows));
    }
  }
  return 0;
}

}  // namespace aioss::worker

int main() {
  return aioss::worker::main_bench();
}
