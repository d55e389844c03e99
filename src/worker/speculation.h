// Whether drafts pay, measured as it goes: what calls cost (of the worker) and how often what is
// foreseen comes true (of each sequence, so that nothing of one tenant shows in another's speed).
//
// A sequence looks up what its next token will be (ngram_index.h) also while it decodes token by
// token, which costs nothing, and so knows how good its drafts would be before it makes one. Then a
// draft is made of the length that promises the most tokens a second by measured costs, if that is
// clearly more than without.
//
// The worst case is bounded by an account: a draft that brought less than it cost is a debt, which
// every token paid for without a draft reduces by a hundredth of its time; in debt, none is made.
// And no draft is made that could leave more of a debt than one token's time, except the shortest.
//
// Decides how fast, never what: tokens are sampled from logits, with or without drafts. Values; one
// thread at a time.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "worker/ngram_index.h"

namespace aioss::worker {

// Tokens of one sequence in a call that verifies drafts: the next and 3, 7 or 15 drafts. Kernels
// work in tiles of such numbers of rows, and few sizes are measured sooner than many.
inline constexpr std::array<std::uint32_t, 3> kVerifySizes = {4, 8, 16};
inline constexpr std::uint32_t kDraftTokensMax = kVerifySizes.back() - 1;

class VerifyCosts final {
 public:
  void decoded(std::int64_t ns);                         // one token of one sequence, alone
  void verified(std::uint32_t tokens, std::int64_t ns);  // of kVerifySizes

  double decode_ns() const { return decode_ns_; }  // 0: not measured
  double verify_ns(std::uint32_t tokens) const;    // a guess if it was not measured

 private:
  double guess_ns(std::uint32_t tokens) const;

  double decode_ns_ = 0;
  std::array<double, kVerifySizes.size()> verify_ns_ = {};  // 0: not measured
};

// Of one sequence.
class Speculation final {
 public:
  Speculation();

  // Before each of its steps. `tokens` are all of it, the one to be computed next included. Answers
  // the drafts to verify in this step, at most `longest`; none: decode as usual. Valid until the
  // next call.
  std::span<const Token> propose(std::span<const Token> tokens, std::uint32_t longest,
                                 const VerifyCosts& costs);
  // After a step without drafts.
  void decoded(Token sampled, const VerifyCosts& costs);
  // After a step with them, which took `ns` and gave `accepted` drafts and one token more.
  // `rejected`: the next draft was wrong; else the step ended for another reason.
  void verified(std::uint32_t accepted, bool rejected, std::int64_t ns, const VerifyCosts& costs);

  double hit_rate() const;  // how often what was foreseen came true, of late: 0 … 1

 private:
  std::size_t place(std::span<const Token> tokens);
  std::uint32_t best_draft(std::uint32_t longest, const VerifyCosts& costs) const;
  void came(bool true_);

  NgramIndex index_;
  std::vector<Token> draft_;
  std::optional<Token> foreseen_;
  // What is being repeated: it is followed as long as it fits, because where much is the same the
  // newest place is seldom the one that is copied.
  std::size_t followed_ = 0;      // the position behind it, 0: nothing
  std::size_t followed_for_ = 0;  // tokens
  std::size_t seen_ = 0;          // tokens of the sequence at the last look
  double hits_, misses_;          // of late: the older, the less they weigh
  double balance_ns_ = 0;
};

}  // namespace aioss::worker
