// What engine calls take, measured as they happen, and what follows from it: how many prompt tokens
// fit in a step while others decode, and whether closing a hole in the sequence ids is worth a
// copy. Decides how fast, never what: no result depends on it. One thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace aioss::worker {

struct ChunkLimits {
  std::int64_t gap_target_ns = 0;      // between two tokens of a stream while a prompt is cut
  std::int64_t gap_most_ns = 0;        // the same, for a prompt that then need not be cut
  std::uint32_t chunk_tokens_min = 0;  // below it a graph costs more than its tokens
  std::uint32_t chunk_tokens_max = 0;  // one engine call
  std::uint32_t chunk_step = 1;        // of a prompt that is cut: ends of chunks, in tokens
};

class StepCosts final {
 public:
  StepCosts(const ChunkLimits& limits, std::uint32_t streams);

  void decoded(std::span<const std::uint32_t> runs, std::int64_t ns);
  void copied(std::int64_t ns);
  void prefilled(std::uint32_t tokens, std::int64_t ns);

  // Of as many sequences as there are streams, as far as that is measured; 0: not at all.
  double decode_step_ns() const {
    return graph_ns(static_cast<std::uint32_t>(decode_ns_.size()) - 1);
  }
  double prefill_ns_per_token() const { return prefill_ns_per_token_; }  // 0: not measured

  // Of a prompt's `rest`, the tokens for the next call, with `decoders` streams waiting for their
  // next token. `begun`: some of it is computed already.
  std::uint32_t chunk_tokens(std::uint32_t decoders, std::uint32_t rest, bool begun) const;
  // Runs are lengths of consecutive sequence ids: one graph each. `steps` is how long it would
  // last.
  bool compaction_pays(std::span<const std::uint32_t> before, std::span<const std::uint32_t> after,
                       std::uint32_t steps) const;

 private:
  std::uint32_t tokens_within(double ns) const;    // of prefill, inside the limits
  double graph_ns(std::uint32_t sequences) const;  // 0 if unknown

  const ChunkLimits limits_;
  std::vector<double> decode_ns_;    // by sequences in one graph; 0: not measured
  double prefill_ns_per_token_ = 0;  // 0: not measured
  double copy_ns_;
};

}  // namespace aioss::worker
