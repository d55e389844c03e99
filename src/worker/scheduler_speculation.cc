// Several tokens of one sequence in one call: drafts, verified. See scheduler.h and speculation.h.
#include <algorithm>

#include "base/assert.h"
#include "worker/scheduler.h"

namespace aioss::worker {

// What the sequences of this step are expected to go on with. The drafts to verify, if there is one
// sequence alone and they pay: beside others, they would cost every one of them graphs.
std::span<const Token> Scheduler::foresee(std::span<Sequence* const> decoding) {
  std::span<const Token> drafts;
  if (drafts_max_ == 0) return drafts;
  for (Sequence* const sequence : decoding) {
    const Request& request = sequence->request;
    // What an earlier worker made is not sampled.
    if (sequence->generated < request.resumed(sequence->choice).size()) continue;
    // The last token that is wanted need not be a draft: it comes from the one before.
    const std::uint32_t room = request.tokens_max - sequence->generated - 1;
    const std::uint32_t longest = decoding.size() == 1 ? std::min(drafts_max_, room) : 0;
    drafts = sequence->speculation.propose(sequence->sampler.tokens(), longest, verify_costs_);
  }
  return drafts;
}

// Its next token and the drafts behind it, all with logits. Sampling goes as it would without them,
// and as long as it gives what was drafted, the next logits are there already.
Status Scheduler::verify_step(Sequence& sequence, std::span<const Token> drafts) {
  const auto count = static_cast<std::uint32_t>(drafts.size());
  const std::uint32_t end = sequence.computed + 1 + count;
  batch_.clear();
  batch_.add(sequence.next, sequence.computed, sequence.stream, true);
  for (std::uint32_t i = 0; i < count; ++i) {
    batch_.add(drafts[i], sequence.computed + 1 + i, sequence.stream, true);
  }
  Sequence* const affected[] = {&sequence};
  const std::int64_t start = clock_.monotonic_ns();
  AIOSS_CHECK(run_batch(affected));  // aborted only when the process ends, like a decode step
  const std::int64_t elapsed = clock_.monotonic_ns() - start;
  if (!set_was_changed_) verify_costs_.verified(count + 1, elapsed);

  std::uint32_t accepted = 0;
  bool rejected = false;
  for (;;) {
    ++sequence.computed;
    queue_.charge(sequence.request.submit, 1);
    take_token(sequence, session_.logits(accepted));
    if (sequence.phase == Phase::kDone || accepted == count) break;
    rejected = sequence.next != drafts[accepted];
    // Without credit the run ends here, as decoding would.
    if (rejected || sequence.request.parked()) break;
    ++accepted;
  }
  stats_.drafted_tokens += count;
  stats_.accepted_tokens += accepted;
  sequence.speculation.verified(accepted, rejected, elapsed, verify_costs_);
  if (sequence.phase == Phase::kDone || sequence.computed == end) return ok();
  return cut(sequence);
}

// Off with the drafts that were not taken.
Status Scheduler::cut(Sequence& sequence) {
  const Status removed =
      session_.remove(sequence.stream, static_cast<std::int32_t>(sequence.computed), -1);
  if (removed) return ok();
  if (removed.error().code == Code::kUnsupported) return recompute(sequence);
  Sequence* const affected[] = {&sequence};
  return broken(affected, removed.error());
}

// The engine cannot cut this model's memory (a recurrent one). That is found out once: the sequence
// is computed again as far as it was, and from then on nothing is drafted.
Status Scheduler::recompute(Sequence& sequence) {
  drafts_max_ = 0;
  Sequence* const affected[] = {&sequence};
  if (const Status cleared = session_.remove(sequence.stream, 0, -1); !cleared) {
    return broken(affected, cleared.error());
  }
  const std::span<const Token> tokens = sequence.sampler.tokens();
  ASSERT(sequence.computed + 1 == tokens.size());
  const std::uint32_t grid = options_.prefill_grid_tokens;
  const std::uint32_t chunk = std::max(options_.batch_tokens_max / grid * grid, 1U);
  for (std::uint32_t from = 0; from < sequence.computed; from += chunk) {
    batch_.clear();
    for (std::uint32_t i = from; i < std::min(from + chunk, sequence.computed); ++i) {
      batch_.add(tokens[i], i, sequence.stream, false);
    }
    AIOSS_CHECK(run_batch(affected));
  }
  return ok();
}

}  // namespace aioss::worker
