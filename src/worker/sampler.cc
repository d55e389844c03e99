#include "worker/sampler.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "ipc/limits.h"
#include "worker/random.h"

namespace aioss::worker {
namespace {

// 128 candidates hold 95 % of nearly every distribution of a language model; flatter ones take a
// way whose cost does not depend on how many they need.
constexpr std::size_t kTopPFirst = 128;
// For min-p: a logit a little below the exact threshold; the weights decide.
constexpr float kDepthSlack = 1.0001F;
constexpr float kDepthMargin = 1e-4F;

float as_logprob(double value) {
  return static_cast<float>(std::clamp(value, static_cast<double>(ipc::kLogprobMin), 0.0));
}

void add_logprobs(std::span<const float> logits, const RowScan& scanned, std::uint32_t top,
                  SamplerScratch& scratch, SampledToken& out) {
  const double log_sum =
      static_cast<double>(scanned.maximum) + std::log(exponential_sum(logits, scanned.maximum));
  const float logit = logits[static_cast<std::size_t>(out.token)];
  out.logprob = as_logprob(static_cast<double>(logit) - log_sum);
  if (top == 0) return;
  collect_largest(logits, scanned, top, scratch.candidates);
  keep_largest(scratch.candidates, top);
  std::sort(scratch.candidates.begin(), scratch.candidates.end(), before);
  for (const Candidate& candidate : scratch.candidates) {
    out.top.push_back({static_cast<Token>(candidate.id),
                       as_logprob(static_cast<double>(candidate.logit) - log_sum)});
  }
}

// The index at which the running sum of weights passes `target`; the last with any weight if
// rounding keeps the sum below it.
std::size_t at_running_sum(std::span<const float> weights, double target) {
  double sum = 0;
  std::size_t last = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] <= 0) continue;
    sum += static_cast<double>(weights[i]);
    last = i;
    if (sum > target) break;
  }
  return last;
}

// The block in which the running sum of block sums passes `target`, which becomes what is left of
// it there.
std::size_t block_at(const Weights& weights, double& target) {
  std::size_t block = 0;
  double sum = 0;
  double before_block = 0;
  for (std::size_t i = 0; i < weights.block_sums.size(); ++i) {
    if (weights.block_sums[i] <= 0) continue;
    block = i;
    before_block = sum;
    sum += static_cast<double>(weights.block_sums[i]);
    if (sum > target) break;
  }
  target -= before_block;
  return block;
}

}  // namespace

Sampler::Sampler(const ipc::Sampling& parameters, std::uint32_t choice,
                 std::span<const Token> prompt)
    : parameters_(parameters), choice_(choice), tokens_(prompt.begin(), prompt.end()) {}

void Sampler::accept(Token token) {
  tokens_.push_back(token);
  ++generated_[token];
}

bool Sampler::adjusts() const {
  const ipc::Sampling& p = parameters_;
  return !p.logit_bias.empty() || (p.repetition_penalty != 1.0F && p.penalty_window > 0) ||
         ((p.frequency_penalty != 0.0F || p.presence_penalty != 0.0F) && !generated_.empty());
}

void Sampler::adjust(std::span<float> logits) const {
  const ipc::Sampling& p = parameters_;
  for (const ipc::LogitBias& bias : p.logit_bias) {
    float& logit = logits[static_cast<std::size_t>(bias.token)];
    logit = bias.bias <= -ipc::kBiasMax ? kMinusInfinity : logit + bias.bias;
  }
  if (p.repetition_penalty != 1.0F && p.penalty_window > 0) {
    const std::size_t count = std::min<std::size_t>(tokens_.size(), p.penalty_window);
    const std::span<const Token> recent = std::span(tokens_).last(count);
    for (const Token token : std::unordered_set<Token>(recent.begin(), recent.end())) {
      float& logit = logits[static_cast<std::size_t>(token)];
      logit = logit > 0 ? logit / p.repetition_penalty : logit * p.repetition_penalty;
    }
  }
  for (const auto& [token, count] : generated_) {
    float& logit = logits[static_cast<std::size_t>(token)];
    logit -= static_cast<float>(count) * p.frequency_penalty + p.presence_penalty;
  }
}

Result<SampledToken> Sampler::sample(std::span<const float> logits, LogprobOptions logprobs,
                                     SamplerScratch& scratch) const {
  scan(logits, scratch.raw);
  if (!scratch.raw.sound || scratch.raw.maximum == kMinusInfinity) {
    return Error{Code::kEngineFailed,
                 "the engine computed logits that are not numbers; the model file may be damaged"};
  }
  std::span<const float> row = logits;
  const RowScan* scanned = &scratch.raw;
  if (adjusts()) {
    scratch.logits.assign(logits.begin(), logits.end());
    adjust(scratch.logits);
    row = scratch.logits;
    scan(row, scratch.adjusted);
    scanned = &scratch.adjusted;
    if (!scanned->sound || scanned->maximum == kMinusInfinity) {
      return Error{Code::kInvalidArgument,
                   "logit_bias and the penalties leave no token to choose from", "logit_bias"};
    }
  }
  SampledToken sampled;
  sampled.token = parameters_.temperature == 0.0F ? static_cast<Token>(argmax(row, *scanned))
                                                  : draw(row, *scanned, scratch);
  if (logprobs.enabled) add_logprobs(logits, scratch.raw, logprobs.top, scratch, sampled);
  return sampled;
}

Token Sampler::draw(std::span<const float> row, const RowScan& scanned,
                    SamplerScratch& scratch) const {
  const double value =
      uniform({parameters_.seed, choice_, static_cast<std::uint32_t>(tokens_.size()), 0});
  const bool cut_k = parameters_.top_k > 0 && parameters_.top_k < row.size();
  if (!cut_k && parameters_.top_p >= 1.0F && parameters_.min_p <= 0.0F) {
    exponential_sums(row, scanned.maximum, parameters_.temperature, scratch.weights);
    double target = value * scratch.weights.total;
    const std::size_t from = block_at(scratch.weights, target) * kBlock;
    const std::span<const float> block = row.subspan(from, std::min(kBlock, row.size() - from));
    exponentials(block, scanned.maximum, parameters_.temperature, scratch.weights);
    return static_cast<Token>(from + at_running_sum(scratch.weights.values, target));
  }
  select_candidates(row, scanned, scratch);
  const std::vector<float>& weights = scratch.candidate_weights.values;
  double total = 0;
  for (const float weight : weights) total += static_cast<double>(weight);
  return static_cast<Token>(scratch.candidates[at_running_sum(weights, value * total)].id);
}

// Every cut keeps a front of the same order, so the result is the shortest of three fronts, and
// each can be found without sorting.
void Sampler::select_candidates(std::span<const float> row, const RowScan& scanned,
                                SamplerScratch& scratch) const {
  const ipc::Sampling& p = parameters_;
  std::vector<Candidate>& candidates = scratch.candidates;
  Weights& weights = scratch.candidate_weights;
  const auto weigh = [&] {
    scratch.candidate_logits.clear();
    for (const Candidate& c : candidates) scratch.candidate_logits.push_back(c.logit);
    exponentials(scratch.candidate_logits, scanned.maximum, p.temperature, weights);
  };
  if (p.top_k > 0 && p.top_k < row.size()) {
    collect_largest(row, scanned, p.top_k, candidates);
    keep_largest(candidates, p.top_k);
    weigh();
    if (p.top_p < 1.0F) {
      keep_mass(candidates, weights.values, static_cast<double>(p.top_p) * weights.total);
    }
  } else if (p.top_p < 1.0F) {
    exponential_sums(row, scanned.maximum, p.temperature, scratch.weights);
    const double mass = static_cast<double>(p.top_p) * scratch.weights.total;
    collect_largest(row, scanned, kTopPFirst, candidates);
    weigh();
    if (weights.total >= mass) {
      keep_mass(candidates, weights.values, mass);
    } else {  // a flat distribution
      exponentials(row, scanned.maximum, p.temperature, scratch.weights);
      collect_mass(row, scanned, p.temperature, scratch.weights, mass, candidates);
      weights.values.clear();
      for (const Candidate& c : candidates) weights.values.push_back(scratch.weights.values[c.id]);
    }
  } else {
    const float depth = std::log(p.min_p) * p.temperature;
    const float threshold = scanned.maximum + depth * kDepthSlack - kDepthMargin;
    collect_at_least(row, scanned, threshold, candidates);
    weigh();
  }
  std::size_t kept = 0;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (weights.values[i] < p.min_p) continue;
    candidates[kept] = candidates[i];
    weights.values[kept++] = weights.values[i];
  }
  candidates.resize(kept);
  weights.values.resize(kept);
}

}  // namespace aioss::worker
