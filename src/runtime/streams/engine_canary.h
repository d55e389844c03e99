// The canary of another engine: the same prompts, answered greedily by the engine that runs and by
// the one that is to take over, all at once, and compared. Engines round differently (llama and ik
// differ by about 1.0 in a logit), so not every token is the same; what must hold is in judge().
// Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "ipc/messages.h"
#include "runtime/calls/generate_call.h"
#include "runtime/calls/stream.h"

namespace aioss::runtime {

// Several at once, because engines have failed with several sequences that were right with one.
inline constexpr std::size_t kEngineCanaries = 4;

using CanaryTokens = std::vector<ipc::TokenLogprob>;  // of one prompt's answer

// The `index`-th, for the worker of this life alone.
GenerateCall engine_canary_call(const std::string& model, std::uint64_t life, std::size_t index);
// Once its stream has ended.
Result<CanaryTokens> engine_canary_answer(Stream& canary);

struct CanaryComparison {
  std::uint32_t compared = 0;  // tokens behind equal text
  std::uint32_t same = 0;      // of them, those that both took
  std::uint32_t missing = 0;   // that the other does not count among its 20 likeliest
  float difference_max = 0;    // of the log probability of the running engine's token
  float difference_mean = 0;
  std::string text() const;  // "tokens=32 same=31 logprob_difference_max=0.41 …"
};
// Of each prompt, as far as both have the same tokens, and the first where they differ.
CanaryComparison compare(const std::vector<CanaryTokens>& running,
                         const std::vector<CanaryTokens>& coming);
// Whether the one that comes computes the same model. At most 2.0 nats at any token, 0.5 in the
// mean, half of the tokens the same, none far from likely.
Status judge(const CanaryComparison& found);

}  // namespace aioss::runtime
