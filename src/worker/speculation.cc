#include "worker/speculation.h"

#include <algorithm>

#include "base/assert.h"
#include "worker/moving_average.h"

namespace aioss::worker {
namespace {

// Of a token behind the first in a call, in decode steps, until it is measured: between what a
// memory-bound and a compute-bound machine take.
constexpr double kTokenShareUnknown = 0.3;
// What was measured long ago becomes a guess again: with every token decoded without drafts, by so
// much. A single outlier would else turn drafts off for ever.
constexpr double kForgotten = 0.005;

// About the last ten tokens decide.
constexpr double kKept = 0.9;
// Before anything is known: less than pays, and so that the first one or two that come true do.
constexpr double kHitsFirst = 1.0;
constexpr double kMissesFirst = 1.5;
constexpr double kHitRateMost = 0.98;
// As long as what the table finds at best: what has fit for so long is at least as long a match.
constexpr std::size_t kFollowedForMin = 4;
// By what a draft must be better than none.
constexpr double kClearly = 1.1;

constexpr double kRepaidShare = 0.01;  // of a token's time
constexpr double kDebtMost = 1.0;      // in tokens' times, that a long draft may leave
constexpr double kBalanceMost = 8.0;   // likewise: what was won long ago is no licence

// Tokens of a step with so many drafts, if each comes true with this probability.
double expected_tokens(double rate, std::uint32_t drafts) {
  double sum = 1;
  double all = 1;
  for (std::uint32_t i = 0; i < drafts; ++i) sum += all *= rate;
  return sum;
}

}  // namespace

void VerifyCosts::decoded(std::int64_t ns) {
  follow(decode_ns_, static_cast<double>(ns));
  for (std::size_t i = 0; i < kVerifySizes.size(); ++i) {
    double& measured = verify_ns_[i];
    if (measured == 0) continue;
    const double hoped = decode_ns_ * (1 + kTokenShareUnknown * (kVerifySizes[i] - 1));
    if (measured > hoped) measured += kForgotten * (hoped - measured);
  }
}

void VerifyCosts::verified(std::uint32_t tokens, std::int64_t ns) {
  const auto size = std::find(kVerifySizes.begin(), kVerifySizes.end(), tokens);
  ASSERT(size != kVerifySizes.end());
  follow(verify_ns_[static_cast<std::size_t>(size - kVerifySizes.begin())],
         static_cast<double>(ns));
}

double VerifyCosts::verify_ns(std::uint32_t tokens) const {
  for (std::size_t i = 0; i < kVerifySizes.size(); ++i) {
    if (kVerifySizes[i] == tokens && verify_ns_[i] > 0) return verify_ns_[i];
  }
  return guess_ns(tokens);
}

// A line through one token and the nearest size that was measured; the smaller of two.
double VerifyCosts::guess_ns(std::uint32_t tokens) const {
  double share_ns = decode_ns_ * kTokenShareUnknown;
  for (std::size_t i = 0; i < kVerifySizes.size(); ++i) {
    if (verify_ns_[i] == 0) continue;
    share_ns = std::max(0.0, verify_ns_[i] - decode_ns_) / (kVerifySizes[i] - 1);
    if (kVerifySizes[i] > tokens) break;
  }
  return decode_ns_ + share_ns * (tokens - 1);
}

Speculation::Speculation() : hits_(kHitsFirst), misses_(kMissesFirst) {}

double Speculation::hit_rate() const {
  return hits_ / (hits_ + misses_);
}

void Speculation::came(bool true_) {
  hits_ = hits_ * kKept + (true_ ? 1 : 0);
  misses_ = misses_ * kKept + (true_ ? 0 : 1);
}

// Of the lengths that the account allows, the one with the most tokens a second; 0: none is clearly
// better than no draft.
std::uint32_t Speculation::best_draft(std::uint32_t longest, const VerifyCosts& costs) const {
  const double decode = costs.decode_ns();
  if (decode == 0 || balance_ns_ < 0) return 0;
  const double rate = std::min(hit_rate(), kHitRateMost);
  double best_speed = kClearly / decode;
  std::uint32_t best = 0;
  for (const std::uint32_t size : kVerifySizes) {
    const std::uint32_t drafts = size - 1;
    const double verify = costs.verify_ns(size);
    const double may_lose = balance_ns_ + kDebtMost * decode;
    const bool allowed = size == kVerifySizes.front() || verify - decode <= may_lose;
    if (drafts > longest || !allowed) break;
    const double speed = expected_tokens(rate, drafts) / verify;
    if (speed <= best_speed) continue;
    best_speed = speed;
    best = drafts;
  }
  return best;
}

// Where what comes next is expected to stand; 0: nowhere.
std::size_t Speculation::place(std::span<const Token> tokens) {
  while (followed_ > 0 && seen_ < tokens.size()) {
    const bool fits = tokens[followed_] == tokens[seen_++];
    followed_ = fits ? followed_ + 1 : 0;
    followed_for_ = fits ? followed_for_ + 1 : 0;
  }
  seen_ = tokens.size();
  if (followed_ > 0 && followed_for_ >= kFollowedForMin) return followed_;
  const std::size_t found = index_.find(tokens);
  if (found != followed_) followed_for_ = 0;
  return followed_ = found;
}

std::span<const Token> Speculation::propose(std::span<const Token> tokens, std::uint32_t longest,
                                            const VerifyCosts& costs) {
  foreseen_.reset();
  draft_.clear();
  index_.catch_up(tokens);
  const std::size_t from = place(tokens);
  if (from == 0) return {};
  foreseen_ = tokens[from];
  copy_from(tokens, from, best_draft(longest, costs), draft_);
  return draft_;
}

void Speculation::decoded(Token sampled, const VerifyCosts& costs) {
  if (foreseen_) came(*foreseen_ == sampled);
  foreseen_.reset();
  if (balance_ns_ < 0) balance_ns_ += kRepaidShare * costs.decode_ns();
}

void Speculation::verified(std::uint32_t accepted, bool rejected, std::int64_t ns,
                           const VerifyCosts& costs) {
  foreseen_.reset();
  for (std::uint32_t i = 0; i < accepted; ++i) came(true);
  if (rejected) came(false);
  const double decode = costs.decode_ns();
  balance_ns_ += (accepted + 1) * decode - static_cast<double>(ns);
  balance_ns_ = std::min(balance_ns_, kBalanceMost * decode);
}

}  // namespace aioss::worker
