#include "worker/scheduler.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "base/assert.h"

namespace aioss::worker {
namespace {

// Of every four prefill calls one goes to whoever waits longest, so that short prompts, which go
// first because that keeps the typical wait short, cannot starve a long one.
constexpr std::uint32_t kTurnOfTheOldest = 4;
// Positions in fast chunks: kernels work in tiles of this many rows or divisors of it.
constexpr std::uint32_t kTileTokens = 16;

ChunkLimits chunk_limits(const SchedulerOptions& options) {
  const bool fast = options.profile == ipc::Profile::kFast;
  return {.gap_target_ns = options.gap_target_ns,
          .gap_most_ns = options.gap_most_ns,
          .chunk_tokens_min = std::min(options.chunk_tokens_min, options.batch_tokens_max),
          .chunk_tokens_max = options.batch_tokens_max,
          .chunk_step = fast ? 1U : options.prefill_grid_tokens};
}

}  // namespace

Scheduler::Scheduler(engine::Session& session, const Vocabulary& vocabulary,
                     const SchedulerOptions& options, const Clock& clock, AbortBoard& board,
                     EventSink& sink, std::unique_ptr<PrefixCache> prefixes,
                     std::unique_ptr<AdapterShelf> adapters)
    : session_(session),
      vocabulary_(vocabulary),
      options_(options),
      clock_(clock),
      board_(board),
      sink_(sink),
      costs_(chunk_limits(options), options.streams),
      prefixes_(std::move(prefixes)),
      adapters_(adapters ? std::move(adapters) : std::make_unique<AdapterShelf>()),
      streams_(options.streams, nullptr),
      drafts_max_(options.draft_tokens_max) {
  ASSERT(options.streams > 0 && options.batch_tokens_max >= options.streams);
  ASSERT(options.prefill_grid_tokens > 0);
  ASSERT(options.draft_tokens_max == 0 || options.profile != ipc::Profile::kReproducible);
  ASSERT(options.draft_tokens_max < options.batch_tokens_max);
  ASSERT(options.profile == ipc::Profile::kFast ||
         options.batch_tokens_max >= options.prefill_grid_tokens);
}

void Scheduler::Batch::clear() {
  tokens.clear();
  positions.clear();
  sequences.clear();
  outputs.clear();
}

void Scheduler::Batch::add(Token token, std::uint32_t position, std::int32_t sequence,
                           bool output) {
  tokens.push_back(token);
  positions.push_back(static_cast<std::int32_t>(position));
  sequences.push_back(sequence);
  outputs.push_back(output ? 1 : 0);
}

std::uint32_t Scheduler::running() const {
  return static_cast<std::uint32_t>(
      std::count_if(streams_.begin(), streams_.end(), [](const Sequence* s) { return s; }));
}

bool Scheduler::is_settled() const {
  return requests_.empty() && queue_.empty() && queue_.requests() == 0 && !queue_.has_accounts() &&
         resuming_.empty() && prefilling_.empty() && running() == 0 && ended_streams_.empty() &&
         spilled_ == 0 && spilled_bytes_ == 0 && adapters_->is_settled();
}

Status Scheduler::step() {
  AIOSS_CHECK(clear_ended_streams());
  AIOSS_CHECK(spill_parked());
  AIOSS_CHECK(preempt());
  AIOSS_CHECK(place_waiting());
  AIOSS_CHECK(find_prefixes());
  AIOSS_CHECK(close_hole());
  choose_set();
  const Call call = choose_call();
  if (call != Call::kNone) {
    last_call_ = call;
    ++turn_calls_;
    ++stats_.steps;
    AIOSS_CHECK(call == Call::kDecode ? decode_step() : prefill_step());
  }
  forget_finished();
  emit_stats_if_due();
  return ok();
}

// Null: a free stream.
bool Scheduler::may_run(const Sequence* sequence) {
  return sequence != nullptr && sequence->phase == Phase::kDecode && !sequence->request.parked();
}

bool Scheduler::can_compute() const {
  return !prefilling_.empty() || std::any_of(streams_.begin(), streams_.end(), may_run);
}

Scheduler::Call Scheduler::choose_call() const {
  const bool decoding = std::any_of(streams_.begin(), streams_.end(),
                                    [this](const Sequence* s) { return may_run_now(s); });
  const bool prefilling = std::any_of(prefilling_.begin(), prefilling_.end(),
                                      [this](const Sequence* s) { return in_turn(*s); });
  if (!decoding) return prefilling ? Call::kPrefill : Call::kNone;
  if (!prefilling) return Call::kDecode;
  return last_call_ == Call::kDecode || ends_go_on() ? Call::kPrefill : Call::kDecode;
}

// Ends of prompts whose beginnings were there already go one after another, as long as nobody waits
// too long for the next token: four that forked from one prompt begin at about once. Those may take
// what a short prompt in one piece may: the first one's second token is not worth more than the
// last one's first.
bool Scheduler::ends_go_on() const {
  const std::int64_t now = clock_.monotonic_ns();
  bool ends = false;
  std::uint32_t shortest = kEndTokens + 1;  // of those that forked
  for (const Sequence* const s : prefilling_) {
    const std::uint32_t rest = s->request.prompt_tokens() - s->computed;
    if (s->cached == 0 || rest > kEndTokens || !in_turn(*s)) continue;
    ends = true;
    if (s->fork_at > 0 && s->source == nullptr) shortest = std::min(shortest, rest);
  }
  if (ends && now - decoded_ns_ < options_.gap_target_ns) return true;
  if (options_.profile != ipc::Profile::kFast || shortest > kEndTokens) return false;
  std::int64_t waits_since = now;
  for (const Sequence* const s : streams_) {
    if (may_run(s)) waits_since = std::min(waits_since, s->last_token_ns);
  }
  const auto takes = static_cast<std::int64_t>(costs_.prefill_ns_per_token() * shortest);
  return now - waits_since + takes < options_.gap_most_ns;
}

bool Scheduler::can_step() const {
  if (!ended_streams_.empty()) return true;
  if (somebody_waits() && lowest_free_stream() != kNoStream) return true;
  return can_compute() || spill_due_ns() <= clock_.monotonic_ns();
}

std::int64_t Scheduler::idle_ns() const {
  const std::int64_t due = spill_due_ns();
  if (due == std::numeric_limits<std::int64_t>::max()) return due;
  return std::max<std::int64_t>(due - clock_.monotonic_ns(), 0);
}

Status Scheduler::run_batch(std::span<Sequence* const> affected) {
  aioss_batch batch = {};
  batch.struct_size = sizeof batch;
  batch.token_count = static_cast<std::uint32_t>(batch_.tokens.size());
  batch.tokens = batch_.tokens.data();
  batch.positions = batch_.positions.data();
  batch.sequences = batch_.sequences.data();
  batch.outputs = batch_.outputs.data();
  const AdapterSet& set = affected.front()->request.adapters;
  batch.adapters = set.uses.data();
  batch.adapter_count = static_cast<std::uint32_t>(set.uses.size());
  set_was_changed_ = std::exchange(called_for_, set.key) != set.key;
  watch_.allow(batch_.tokens.size());
  Status status = session_.decode(batch);
  if (status.has_value() || status.error().code == Code::kCancelled) return status;
  return broken(affected, std::move(status).error());
}

Status Scheduler::decode_step() {
  std::vector<Sequence*> decoding;
  decoded_ns_ = clock_.monotonic_ns();
  batch_.clear();
  for (Sequence* const sequence : streams_) {
    if (!may_run_now(sequence)) continue;
    batch_.add(sequence->next, sequence->computed, sequence->stream, true);
    decoding.push_back(sequence);
  }
  const std::span<const Token> drafts = foresee(decoding);
  if (!drafts.empty()) return verify_step(*decoding.front(), drafts);
  StreamSets calling = decoding_streams();
  std::replace_if(
      calling.begin(), calling.end(), [this](const auto& key) { return key != turn_of_; },
      std::optional<std::uint64_t>());
  const std::vector<std::uint32_t> runs = runs_of(calling);
  const std::int64_t start = clock_.monotonic_ns();
  // A decode step is aborted only when the process ends: nothing is undone then.
  AIOSS_CHECK(run_batch(decoding));
  const std::int64_t elapsed = clock_.monotonic_ns() - start;
  if (!set_was_changed_) costs_.decoded(runs, elapsed);
  if (decoding.size() == 1 && !set_was_changed_) verify_costs_.decoded(elapsed);
  for (std::size_t i = 0; i < decoding.size(); ++i) {
    ++decoding[i]->computed;
    queue_.charge(decoding[i]->request.submit, 1);
    take_token(*decoding[i], session_.logits(static_cast<std::uint32_t>(i)));
    decoding[i]->speculation.decoded(decoding[i]->next, verify_costs_);
  }
  return ok();
}

Sequence& Scheduler::next_to_prefill() {
  ASSERT(!prefilling_.empty());
  // Who waits for another one's prefix waits for that one's chunks.
  const auto worker = [](Sequence* s) {
    while (s->source != nullptr) s = s->source;
    return s;
  };
  const std::vector<Sequence*> candidates = prefilling_now();
  if (++prefill_calls_ % kTurnOfTheOldest == 0) return *worker(candidates.front());
  const auto rank = [&](Sequence* s) {  // interactive before batch, then the shortest rest
    return std::pair(s->request.submit.priority, s->request.prompt.size() - worker(s)->computed);
  };
  // The first of equals: the one that came first.
  return *worker(*std::min_element(candidates.begin(), candidates.end(),
                                   [&](Sequence* a, Sequence* b) { return rank(a) < rank(b); }));
}

// Of a prompt's tokens: where results must not depend on how it is cut, those up to the last place
// where it may be.
std::uint32_t Scheduler::on_grid(std::uint32_t tokens) const {
  const std::uint32_t grid = options_.prefill_grid_tokens;
  return options_.profile == ipc::Profile::kFast ? tokens : tokens / grid * grid;
}

// Where the next chunk of the prompt ends: at the latest where its state is wanted.
std::uint32_t Scheduler::chunk_end(const Sequence& sequence) const {
  return std::min(chunk_end_alone(sequence), next_stop(sequence));
}

std::uint32_t Scheduler::chunk_end_alone(const Sequence& sequence) const {
  const std::uint32_t prompt = sequence.request.prompt_tokens();
  const std::uint32_t from = sequence.computed;
  const bool fast = options_.profile == ipc::Profile::kFast;
  const std::uint32_t grid = options_.prefill_grid_tokens;
  const auto decoders =
      static_cast<std::uint32_t>(std::count_if(streams_.begin(), streams_.end(), may_run));
  const std::uint32_t rest = prompt - from;
  const std::uint32_t budget = costs_.chunk_tokens(decoders, rest, from > sequence.cached);
  if (budget >= rest) return prompt;
  // Up to a whole tile is cheap; up to a whole grid step may not be.
  const std::uint32_t tokens = fast ? (budget + kTileTokens - 1) / kTileTokens * kTileTokens
                                    : std::max(budget / grid * grid, grid);
  return std::min({from + tokens, from + options_.batch_tokens_max, prompt});
}

Status Scheduler::prefill_step() {
  Sequence& sequence = next_to_prefill();
  const Request& request = sequence.request;
  const std::uint32_t end = chunk_end(sequence);
  ASSERT(end > sequence.computed && end <= request.prompt_tokens());
  const std::uint32_t count = end - sequence.computed;
  batch_.clear();
  for (std::uint32_t i = sequence.computed; i < end; ++i) {
    batch_.add(request.prompt[i], i, sequence.stream, i + 1 == request.prompt_tokens());
  }
  const std::int64_t start = clock_.monotonic_ns();
  if (sequence.started_ns == 0) sequence.started_ns = start;
  Sequence* const affected[] = {&sequence};
  board_.begin_prefill(request.id());
  const Status status = run_batch(affected);
  board_.end_prefill();
  if (!status && status.error().code == Code::kCancelled && !board_.stopping()) {
    return after_abort(sequence);
  }
  AIOSS_CHECK(status);
  if (!set_was_changed_) costs_.prefilled(count, clock_.monotonic_ns() - start);
  sequence.computed = end;
  stats_.prompt_tokens += count;
  queue_.charge(request.submit, count);
  const std::vector<Sequence*> forks = take_forks(sequence);
  const std::int32_t stream = sequence.stream;
  if (end == request.prompt_tokens()) AIOSS_CHECK(finish_prefill(sequence));
  // After the first token, so that nobody waits for it, and because a copy ends the life of the
  // logits. The stream holds the state even if that was the end: it is cleared before the next
  // call.
  AIOSS_TRY(const bool forked, fork_from(sequence, stream, forks));
  if (is_worth_keeping(sequence, forked)) {
    keep_prefix({request.shares_prefixes_as, request.submit.owner},
                std::span(request.prompt).first(end), stream);
  }
  return ok();
}

// The engine holds an unspecified part of the chunk: back to where the last one ended. The cancel
// command that caused this is on its way, or has been taken back by a worker that goes on.
Status Scheduler::after_abort(Sequence& sequence) {
  const auto kept = static_cast<std::int32_t>(sequence.computed);
  if (session_.remove(sequence.stream, kept, -1)) return ok();
  sequence.computed = sequence.cached = 0;  // an engine that cannot cut: from the beginning
  const Status cleared = session_.remove(sequence.stream, 0, -1);
  if (cleared) return ok();
  Sequence* const affected[] = {&sequence};
  return broken(affected, cleared.error());
}

// The prompt's last logits are there: the first token of this choice, and of the siblings that
// waited for the same prompt, each drawn with its own number from the same row.
Status Scheduler::finish_prefill(Sequence& sequence) {
  std::erase(prefilling_, &sequence);
  const std::int32_t source = sequence.stream;
  std::vector<Sequence*> group{&sequence};
  for (Sequence& other : sequence.request.choices) {
    if (other.phase == Phase::kFollower) group.push_back(&other);
  }
  const std::span<const float> logits = session_.logits(0);
  for (Sequence* const member : group) {
    member->started_ns = sequence.started_ns;
    member->computed = sequence.computed;
    member->cached = sequence.cached;
    member->phase = Phase::kDecode;
    take_token(*member, logits);
  }
  // Ends are told with the step: if the worker dies in a copy that follows, they are among those it
  // was busy with, and a prefix that was asked for alone is kept when its end says so.
  const bool all_go_on = std::all_of(group.begin(), group.end(), [](const Sequence* member) {
    return member->phase == Phase::kDecode;
  });
  if (all_go_on) sink_.flush();
  // Only now, because a copy is a call, which ends the life of the logits. A leader that has ended
  // still holds the state: streams are cleared before the next call.
  for (Sequence* const member : std::span(group).subspan(1)) {
    if (member->phase != Phase::kDecode) continue;
    if (const Status copied = session_.copy(source, member->stream); !copied) {
      return broken(group, copied.error());
    }
  }
  return ok();
}

// By stream.
Scheduler::StreamSets Scheduler::decoding_streams() const {
  StreamSets decoding;
  for (const Sequence* s : streams_) {
    decoding.push_back(may_run(s) ? std::optional(s->request.adapters.key) : std::nullopt);
  }
  return decoding;
}

// Neighbours of one set share a graph.
std::vector<std::uint32_t> Scheduler::runs_of(const StreamSets& decoding) {
  std::vector<std::uint32_t> runs;
  std::optional<std::uint64_t> before;
  for (const std::optional<std::uint64_t>& set : decoding) {
    if (set && set == before) ++runs.back();
    if (set && set != before) runs.push_back(1);
    before = set;
  }
  return runs;
}

// Moves the highest running sequence into the lowest hole, when nobody is about to fill it and the
// graphs that it saves are worth the copy.
Status Scheduler::close_hole() {
  if (somebody_waits() || !prefilling_.empty()) return ok();
  const std::int32_t hole = lowest_free_stream();
  if (hole == kNoStream) return ok();
  std::size_t highest = streams_.size() - 1;
  while (highest > static_cast<std::size_t>(hole) && !may_run(streams_[highest])) --highest;
  if (highest <= static_cast<std::size_t>(hole)) return ok();
  Sequence* const sequence = streams_[highest];

  StreamSets running = decoding_streams();
  const std::vector<std::uint32_t> before = runs_of(running);
  running[static_cast<std::size_t>(hole)] = std::exchange(running[highest], std::nullopt);
  const std::uint32_t steps = sequence->request.tokens_max - sequence->generated;
  if (!costs_.compaction_pays(before, runs_of(running), steps)) return ok();

  const auto source = static_cast<std::int32_t>(highest);
  const std::int64_t start = clock_.monotonic_ns();
  Status moved = session_.copy(source, hole);
  if (moved) moved = session_.remove(source, 0, -1);
  Sequence* const affected[] = {sequence};
  if (!moved) return broken(affected, moved.error());
  costs_.copied(clock_.monotonic_ns() - start);
  streams_[highest] = nullptr;
  streams_[static_cast<std::size_t>(hole)] = sequence;
  sequence->stream = hole;
  return ok();
}

// Of sequences that ended: their cells hold a prompt that nobody may see again.
Status Scheduler::clear_ended_streams() {
  while (!ended_streams_.empty()) {
    const EndedStream ended = std::move(ended_streams_.back());
    ended_streams_.pop_back();
    if (!ended.tokens.empty()) keep_conversation(ended);
    if (const Status cleared = session_.remove(ended.stream, 0, -1); !cleared) {
      return broken({}, cleared.error());
    }
  }
  return ok();
}

// A request that was in the call alone is told why. Of several nobody knows which it was: like
// those who merely lose the worker they go on in the next one, where a suspect runs by itself. A
// device may have failed by itself: nobody is told.
Status Scheduler::broken(std::span<Sequence* const> affected, Error error) {
  if (options_.on_device) return error;
  if (error.code != Code::kNoMemory) error.code = Code::kEngineFailed;
  const auto is_of_the_first = [&](const Sequence* sequence) {
    return &sequence->request == &affected.front()->request;
  };
  if (!affected.empty() && std::all_of(affected.begin(), affected.end(), is_of_the_first)) {
    for (Sequence& choice : affected.front()->request.choices) {
      if (choice.phase != Phase::kDone) finish(choice, ipc::FinishReason::kError, error);
    }
  }
  forget_finished();
  return error;
}

}  // namespace aioss::worker
