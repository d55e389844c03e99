#include "worker/step_costs.h"

#include <algorithm>

#include "worker/moving_average.h"

namespace aioss::worker {
namespace {

constexpr double kCopyNsUnknown = 20e6;  // 4,096 cells of a small model, on two cores
// Streams end early more often than late, and a neighbour's end may open the next hole.
constexpr double kStepsThatLast = 0.5;
// A decode step counts against the gap, but a slow one must not starve prefill.
constexpr double kChunkShareMin = 0.5;
constexpr std::uint32_t kChunkUnknown = 64;
// Calls of a few tokens say little about prefill.
constexpr std::uint32_t kMeasuredTokensMin = 8;

}  // namespace

StepCosts::StepCosts(const ChunkLimits& limits, std::uint32_t streams)
    : limits_(limits), decode_ns_(streams + 1, 0.0), copy_ns_(kCopyNsUnknown) {}

void StepCosts::copied(std::int64_t ns) {
  follow(copy_ns_, static_cast<double>(ns));
}

void StepCosts::decoded(std::span<const std::uint32_t> runs, std::int64_t ns) {
  const auto measured = static_cast<double>(ns);
  if (runs.size() == 1) follow(decode_ns_[runs[0]], measured);
}

void StepCosts::prefilled(std::uint32_t tokens, std::int64_t ns) {
  if (tokens < kMeasuredTokensMin) return;
  follow(prefill_ns_per_token_, static_cast<double>(ns) / tokens);
}

double StepCosts::graph_ns(std::uint32_t sequences) const {
  if (decode_ns_[sequences] > 0) return decode_ns_[sequences];
  // Between the nearest that were measured; beyond them, the nearest itself: cautious on both
  // sides.
  std::uint32_t low = sequences;
  while (low > 0 && decode_ns_[low] == 0) --low;
  std::uint32_t high = sequences;
  while (high + 1 < decode_ns_.size() && decode_ns_[high] == 0) ++high;
  if (decode_ns_[low] == 0) return decode_ns_[high];
  if (decode_ns_[high] == 0) return decode_ns_[low];
  const double part = static_cast<double>(sequences - low) / static_cast<double>(high - low);
  return decode_ns_[low] + part * (decode_ns_[high] - decode_ns_[low]);
}

std::uint32_t StepCosts::tokens_within(double ns) const {
  return static_cast<std::uint32_t>(std::clamp(ns / prefill_ns_per_token_,
                                               static_cast<double>(limits_.chunk_tokens_min),
                                               static_cast<double>(limits_.chunk_tokens_max)));
}

std::uint32_t StepCosts::chunk_tokens(std::uint32_t decoders, std::uint32_t rest,
                                      bool begun) const {
  if (decoders == 0) return std::min(rest, limits_.chunk_tokens_max);
  if (prefill_ns_per_token_ == 0) return std::min({rest, kChunkUnknown, limits_.chunk_tokens_max});
  const double decode = graph_ns(decoders);
  // Each cut costs the others a decode step at a time when few share it, and short calls compute
  // slower: a prompt that need not be cut is not.
  if (!begun && rest <= tokens_within(static_cast<double>(limits_.gap_most_ns) - decode)) {
    return rest;
  }
  const auto target = static_cast<double>(limits_.gap_target_ns);
  const std::uint32_t step = limits_.chunk_step;
  const std::uint32_t within = tokens_within(std::max(target - decode, target * kChunkShareMin));
  const std::uint32_t most = std::max(within / step * step, step);
  // Even pieces: a small last one would cost a step of its own.
  const std::uint32_t pieces = (rest + most - 1) / most;
  const std::uint32_t even = (rest + pieces - 1) / pieces;
  return std::min((even + step - 1) / step * step, rest);
}

bool StepCosts::compaction_pays(std::span<const std::uint32_t> before,
                                std::span<const std::uint32_t> after, std::uint32_t steps) const {
  double gain = 0;
  for (const std::uint32_t run : before) gain += graph_ns(run);
  for (const std::uint32_t run : after) gain -= graph_ns(run);
  return gain * steps * kStepsThatLast > copy_ns_;
}

}  // namespace aioss::worker
