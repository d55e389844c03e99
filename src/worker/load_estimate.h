// How long a request would wait for a stream, from measured speed and the tokens that wait. The
// engine computes one thing at a time, so work is counted in its nanoseconds: a prompt token costs
// what prefill takes, a token of an answer its share of a decode step of all streams. Whoever comes
// waits for all the work before it in the queue, and for a stream: the mean of what is left of
// those that run (the mean wait of an M/M/c queue has the same form). Answers are taken to be as
// long as the last ones were.
//
// An estimate: it decides nothing but what a client is told, and whether a deadline is hopeless.
// One thread at a time.
#pragma once

#include <cstdint>
#include <optional>

#include "worker/step_costs.h"

namespace aioss::worker {

class LoadEstimate final {
 public:
  // An answer has come to its end by itself.
  void answered(std::uint32_t tokens);
  // Tokens that are still to be made of an answer of at most `most`, after `made`.
  double rest(std::uint32_t most, std::uint32_t made) const;

  struct Work {
    double prompt_tokens = 0, answer_tokens = 0;
  };
  // Nothing while too little is measured.
  static std::optional<std::uint32_t> seconds(const Work& waiting, const Work& running,
                                              std::uint32_t streams, const StepCosts& costs);

 private:
  double answer_tokens_ = 0;  // mean of the last ones; 0: none yet
};

}  // namespace aioss::worker
