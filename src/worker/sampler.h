// The next token of one choice. A pure function of (logits, tokens so far, parameters, seed,
// choice, position): nothing else is kept that could not be rebuilt from the tokens, so a stream
// can move to another worker and a recorded one can be replayed.
//
// Order: logit bias → repetition, frequency and presence penalties → temperature (0: greedy, the
// lowest id wins ties) → top-k → top-p (of what top-k left) → min-p → draw. Cuts are made in the
// order (logit descending, id ascending), the draw walks what is left by ascending id. Log
// probabilities are those of the model itself: softmax of the raw logits, before any of this, so
// that they do not depend on how a token was chosen.
//
// One thread at a time. SamplerScratch is shared by the samplers of a thread and carries no state.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "ipc/messages.h"
#include "worker/logit_math.h"

namespace aioss::worker {

using ipc::Token;

struct SamplerScratch {
  RowScan raw, adjusted;
  std::vector<float> logits;  // a row with bias and penalties in it
  Weights weights, candidate_weights;
  std::vector<Candidate> candidates;
  std::vector<float> candidate_logits;
};

struct SampledToken {
  struct Top {
    Token token = 0;
    float logprob = 0;
  };
  Token token = 0;
  float logprob = 0;     // 0 unless asked for
  std::vector<Top> top;  // most likely first; empty unless asked for
};

struct LogprobOptions {
  bool enabled = false;
  std::uint32_t top = 0;
};

class Sampler final {
 public:
  Sampler(const ipc::Sampling& parameters, std::uint32_t choice, std::span<const Token> prompt);

  // kEngineFailed if the row holds NaN or +infinity, or nothing but −infinity; kInvalidArgument if
  // the request's own logit_bias forbids every token. Changes nothing but the scratch.
  Result<SampledToken> sample(std::span<const float> logits, LogprobOptions logprobs,
                              SamplerScratch& scratch) const;
  // `token` is what the sequence goes on with.
  void accept(Token token);
  // Prompt and generated. Valid until the next accept.
  std::span<const Token> tokens() const { return tokens_; }

 private:
  bool adjusts() const;
  void adjust(std::span<float> logits) const;
  Token draw(std::span<const float> row, const RowScan& scanned, SamplerScratch& scratch) const;
  void select_candidates(std::span<const float> row, const RowScan& scanned,
                         SamplerScratch& scratch) const;

  ipc::Sampling parameters_;
  std::uint32_t choice_;
  std::vector<Token> tokens_;                           // prompt and generated
  std::unordered_map<Token, std::uint32_t> generated_;  // how often each was generated
};

}  // namespace aioss::worker
