// Prompts that begin as an earlier one did: see scheduler.h.
//
// A prompt's state is kept in the cache after its prefill, if a good part of it had to be computed.
// The next prompt of the same tenant that begins so is given a copy, cut back to what both have in
// common. Where the engine cannot cut (a sliding window has forgotten what the cut would need), the
// prefill stops once where the two part, and that state is kept, too.
//
// A prompt that begins as one whose prefill is under way waits for it and forks from it there: four
// clients that ask at once about one document have it computed once. In profile fast the one that
// computes does not stop there for the sake of a few last tokens, which would be slow by
// themselves: those that fork cut them off. That an engine can do so is learned from the first
// fork.
#include <algorithm>
#include <limits>
#include <utility>

#include "base/assert.h"
#include "worker/scheduler.h"

namespace aioss::worker {
namespace {

// Copying fewer costs about what computing them does.
constexpr std::uint32_t kReusedTokensMin = 32;
// A prefix that is kept saves so much, and at least this part of its own prefill: a question about
// a document that is kept already is no prefix of its own.
constexpr std::uint32_t kKeptTokensMin = 64;
constexpr std::uint32_t kKeptPart = 8;
// Waiting for another prompt's prefill must save at least this part of the own one.
constexpr std::uint32_t kForkPart = 2;

// A state of `computed` tokens, `own` of which no other state has.
bool is_much_of(std::uint32_t own, std::uint32_t computed) {
  return own >= kKeptTokensMin && own >= computed / kKeptPart;
}

}  // namespace

// Of tokens that a prompt has in common with another: on the grid where bits count, and never all
// of it, because the logits behind its last token are needed.
std::uint32_t Scheduler::usable(const Request& request, std::size_t tokens) const {
  return on_grid(
      static_cast<std::uint32_t>(std::min<std::size_t>(tokens, request.prompt_tokens() - 1)));
}

bool Scheduler::cut_serves() const {
  return cuts_ && !cuts_refused_;
}

// Loading takes time: of many that come at once, the others wait for the next step.
Status Scheduler::find_prefixes() {
  if (!prefixes_) return ok();
  const std::int64_t start = clock_.monotonic_ns();
  for (Sequence* const sequence : prefilling_) {
    if (std::exchange(sequence->looked_up, true)) continue;
    AIOSS_CHECK(find_prefix(*sequence));
    if (clock_.monotonic_ns() - start > options_.gap_target_ns) break;
  }
  return ok();
}

Status Scheduler::find_prefix(Sequence& sequence) {
  if (sequence.computed > 0) return ok();
  const Request& request = sequence.request;
  for (;;) {
    const TokenTree::Found found = prefixes_->find(request.shares_prefixes_as, request.prompt);
    const std::uint32_t part = usable(request, std::max(found.part_tokens, found.whole_tokens));
    if (waits_for_another(sequence, part) || part < kReusedTokensMin) return ok();
    AIOSS_TRY(const Loaded loaded,
              load_prefix(sequence, found.part ? *found.part : *found.whole, part));
    if (loaded == Loaded::kGone) continue;  // and was dropped: what else is there?
    if (loaded == Loaded::kYes || !found.part) return ok();
    // It could not be cut. Shared a second time, this beginning is worth a state of its own.
    sequence.snapshot_at = part;
    const std::uint32_t whole = usable(request, found.whole_tokens);
    if (!found.whole || whole < kReusedTokensMin) return ok();
    if (whole != on_grid(static_cast<std::uint32_t>(found.whole_tokens))) return ok();
    const Result<Loaded> fell_back = load_prefix(sequence, *found.whole, whole);
    return fell_back ? ok() : Status(fell_back.error());
  }
}

// The first `tokens` of what is kept. Unless it is there, nothing has changed.
Result<Scheduler::Loaded> Scheduler::load_prefix(Sequence& sequence, PrefixCache::Number number,
                                                 std::uint32_t tokens) {
  const std::int64_t start = clock_.monotonic_ns();
  const auto held = static_cast<std::uint32_t>(prefixes_->tokens(number));
  const bool cut = tokens < held;
  const bool cuts_tail_alone = cut && tokens == on_grid(held);
  Loaded loaded = Loaded::kYes;
  if (!session_.load(sequence.stream, prefixes_->state(number))) {
    prefixes_->drop(number);  // of another build or geometry, or damaged
    loaded = Loaded::kGone;
  } else if (cut && !session_.remove(sequence.stream, static_cast<std::int32_t>(tokens), -1)) {
    if (cuts_tail_alone) {
      tails_stay_ = true;
      prefixes_->drop(number);  // nobody can use it
      loaded = Loaded::kGone;
    } else {
      cuts_refused_ = true;
      loaded = Loaded::kUncut;
    }
  }
  if (loaded != Loaded::kYes) {
    AIOSS_CHECK(empty_stream(sequence));
    return loaded;
  }
  if (cut && !cuts_tail_alone) cuts_ = true;
  if (cut && options_.profile == ipc::Profile::kFast && !ends_are_cut_) ends_are_cut_ = true;
  prefixes_->was_of_use(number);
  sequence.computed = sequence.cached = tokens;
  sequence.started_ns = start;
  stats_.cached_tokens += tokens;
  return loaded;
}

Status Scheduler::empty_stream(Sequence& sequence) {
  const Status emptied = session_.remove(sequence.stream, 0, -1);
  if (emptied) return ok();
  Sequence* const affected[] = {&sequence};
  return broken(affected, emptied.error());
}

// Of those that prefill, one that will have more of this prompt than the cache has. Earlier ones
// only, so that nobody waits in a circle.
bool Scheduler::waits_for_another(Sequence& sequence, std::uint32_t cached) {
  const Request& request = sequence.request;
  const std::uint32_t most = usable(request, request.prompt.size());
  for (Sequence* const other : prefilling_) {
    if (other == &sequence) break;
    const Request& ahead = other->request;
    if (ahead.shares_prefixes_as != request.shares_prefixes_as) continue;
    const std::uint32_t at =
        std::min(usable(request, tokens_in_common(request.prompt, ahead.prompt)),
                 usable(ahead, ahead.prompt.size()));
    const bool worth = at >= cached + kKeptTokensMin && at >= request.prompt_tokens() / kForkPart;
    // One that waits itself goes on from where it forks: what lies before, it never computes.
    const std::uint32_t begins = other->source != nullptr ? other->fork_at : other->computed;
    if (!worth || at <= begins || at <= sequence.fork_at) continue;
    sequence.source = other;
    sequence.fork_at = at;
    if (at == most) break;
  }
  return sequence.source != nullptr;
}

// Where this prefill must stop for a copy of its state.
std::uint32_t Scheduler::next_stop(const Sequence& sequence) const {
  std::uint32_t stop = std::numeric_limits<std::uint32_t>::max();
  const auto consider = [&](std::uint32_t at) {
    if (at > sequence.computed) stop = std::min(stop, at);
  };
  consider(sequence.snapshot_at);
  const std::uint32_t kept = kept_at(sequence.request);
  if (is_worth_its_room(sequence, kept)) consider(kept);
  for (const Sequence* const other : prefilling_) {
    if (other->source != &sequence) continue;
    const bool cut_off =
        ends_are_cut_ == true && sequence.request.prompt_tokens() - other->fork_at <= kEndTokens;
    if (!cut_off) consider(other->fork_at);
  }
  return stop;
}

// Those that have waited for what `source` has now. They wait no more.
std::vector<Sequence*> Scheduler::take_forks(const Sequence& source) {
  std::vector<Sequence*> forks;
  for (Sequence* const other : prefilling_) {
    if (other->source != &source || other->fork_at > source.computed) continue;
    other->source = nullptr;
    forks.push_back(other);
  }
  return forks;
}

// `stream` holds what `source` has computed. True: it went on in one of the forks.
Result<bool> Scheduler::fork_from(Sequence& source, std::int32_t stream,
                                  std::span<Sequence* const> forks) {
  bool forked = false;
  Sequence* refused = nullptr;  // the first that must begin anew, and compute for the others
  for (Sequence* const other : forks) {
    const Status copied = session_.copy(stream, other->stream);
    if (!copied && copied.error().code == Code::kEngineFailed) {
      Sequence* const affected[] = {other, &source};
      return broken(affected, copied.error()).error();
    }
    if (!copied) {  // it computes what it cannot have
      AIOSS_CHECK(empty_stream(*other));
      continue;
    }
    if (!cut_to_fork(*other, source.computed)) {
      AIOSS_CHECK(empty_stream(*other));
      if (refused != nullptr) {
        other->source = refused;
        other->fork_at = std::min(other->fork_at, refused->fork_at);
      } else {
        refused = other;
      }
      continue;
    }
    forked = true;
    other->started_ns = source.started_ns;
    stats_.cached_tokens += other->cached;
  }
  return forked;
}

// Of a copy that holds `held` tokens. False: it cannot be cut, and holds more than it may.
bool Scheduler::cut_to_fork(Sequence& fork, std::uint32_t held) {
  const auto cut = [&](std::uint32_t at) {
    const bool done = session_.remove(fork.stream, static_cast<std::int32_t>(at), -1).has_value();
    ends_are_cut_ = done && ends_are_cut_.value_or(true);  // one refusal counts for good
    return done;
  };
  if (held > fork.fork_at && !cut(fork.fork_at)) return false;
  fork.computed = fork.cached = fork.fork_at;
  // A token more to compute shows whether the next one's source may run through.
  const bool untried = options_.profile == ipc::Profile::kFast && !ends_are_cut_;
  if (untried && cut(held - 1)) fork.computed = fork.cached = held - 1;
  return true;
}

void Scheduler::look_again(Sequence& sequence) {
  sequence.source = nullptr;
  sequence.fork_at = 0;
  sequence.looked_up = false;
}

// It has ended: those that waited for it look again, and those that waited for them.
void Scheduler::forget_source(const Sequence& source) {
  for (Sequence* const other : prefilling_) {
    if (other->source != &source) continue;
    look_again(*other);
    forget_source(*other);
  }
}

// Where the state of a prompt is kept: at its end, or on the grid, if what lies behind it could not
// be cut off for the next one.
std::uint32_t Scheduler::kept_at(const Request& request) const {
  return tails_stay_ ? on_grid(request.prompt_tokens()) : request.prompt_tokens();
}

// The state that it has, or will have, when `at` tokens are computed. What lies behind the grid
// nobody can share.
bool Scheduler::is_worth_its_room(const Sequence& sequence, std::uint32_t at) const {
  if (!prefixes_ || !sequence.request.leaves_prefix || on_grid(at) < sequence.cached) return false;
  return is_much_of(on_grid(at) - sequence.cached, at);
}

// The state that it has now.
bool Scheduler::is_worth_keeping(const Sequence& sequence, bool forked) const {
  const Request& request = sequence.request;
  if (!prefixes_ || !request.leaves_prefix) return false;
  const std::uint32_t computed = sequence.computed;
  if (request.submit.prefix_only) return computed == request.prompt_tokens();
  // Where others forked, so that the next one does not have to come at the same time. Where states
  // can be cut, the whole prompt's serves as well.
  if (computed == sequence.snapshot_at || (forked && !cut_serves())) return true;
  return computed == kept_at(request) && is_worth_its_room(sequence, computed);
}

// A conversation goes on with its answer as part of the next prompt. What was decoded counts as a
// prefix in profile fast alone.
bool Scheduler::is_worth_continuing(const Sequence& sequence, ipc::FinishReason reason) const {
  const Request& request = sequence.request;
  if (!prefixes_ || !request.leaves_prefix || !request.chat) return false;
  if (options_.profile != ipc::Profile::kFast || sequence.phase != Phase::kDecode) return false;
  if (reason != ipc::FinishReason::kStop && reason != ipc::FinishReason::kLength) return false;
  return is_much_of(sequence.computed - request.prompt_tokens(), sequence.computed);
}

// Its stream may hold drafts behind the answer.
void Scheduler::keep_conversation(const EndedStream& ended) {
  const auto length = static_cast<std::int32_t>(ended.tokens.size());
  if (session_.remove(ended.stream, length, -1)) {
    keep_prefix(ended.whose, ended.tokens, ended.stream);
  }
}

// Whatever goes wrong here costs a later request some time, and this one nothing.
void Scheduler::keep_prefix(PrefixCache::Whose whose, std::span<const Token> prefix,
                            std::int32_t stream) {
  if (prefixes_->find(whose.tenant, prefix).whole_tokens == prefix.size()) return;  // it is there
  const Result<std::size_t> bytes = session_.state_size(stream);
  if (!bytes) return;
  const auto number = prefixes_->make_room(whose, prefix, *bytes);
  if (!number) return;
  const Result<std::size_t> written = session_.save(stream, prefixes_->room(*number));
  if (!written) return prefixes_->drop(*number);
  prefixes_->keep(*number, *written);
  // A longer state serves whoever the shorter one did, where it can be cut.
  const TokenTree::Found shorter = prefixes_->find(whose.tenant, prefix.first(prefix.size() - 1));
  if (cut_serves() && shorter.whole) prefixes_->drop(*shorter.whole);
}

void Scheduler::take_over_prefixes() {
  if (prefixes_) prefixes_->take_over();
}

void Scheduler::forget_prefixes() {
  if (prefixes_) prefixes_->clear();
  for (const auto& [id, request] : requests_) request->leaves_prefix = false;
  for (EndedStream& ended : ended_streams_) ended.tokens.clear();
}

}  // namespace aioss::worker
