// The heart of a worker: continuous batching of many sequences over one engine session.
//
// One step is one call that computes: either a decode step (the next token of every running
// sequence) or a prefill chunk of one sequence; they alternate while there is work of both kinds.
// Two calls cost what one mixed call would (sequences share a graph only token by token), and a
// prefill can be aborted without undoing a neighbour's token. In profile fast a chunk is sized from
// measured speed so that streams that are being decoded see no long gap; in the others it also ends
// on the engine's grid, or with the prompt, so that results do not depend on it.
//
// Admission: S streams of C cells. A request that can never fit is rejected with both numbers; one
// that must wait is queued, and tenants take turns (fair_queue.h); over the bounds, of all and of a
// tenant, it is refused. Running sequences keep the lowest ids, because a gap costs one graph: new
// ones fill holes first, and where it pays the highest is copied into a hole.
//
// Credit: a request whose consumer does not read is parked, that is, left out of the calls, its KV
// kept. After spill_after_ns its sequences are saved to host memory and their streams are given to
// others; with new credit they come back in their turn, before new ones of their tenant, exactly as
// they were.
//
// Overcommit: see scheduler_preempt.cc.
//
// Resumed requests, of a worker that died, go on behind the tokens that their answers have: in
// profile fast those are computed with the prompt; in the others they are decoded again one by one,
// so that all that follows has the bits that it would have had.
//
// Prefixes: what the tenant's earlier requests have computed of a prompt is not computed again, nor
// what a request that is under way is about to compute (scheduler_prefix.cc). Outside profile fast
// both are cut at the engine's grid and hold nothing that was decoded, so no result depends on
// them.
//
// Adapters: a call holds sequences of one set of them; sets take turns (scheduler_adapters.cc). A
// prefix belongs to the set under which it was computed.
//
// Drafts (speculation.h): where one sequence decodes alone and repeats what it has said or was
// told, a step computes several of its tokens. Each is sampled from the logits of its own position
// as always, and what was drafted wrongly is cut off again.
//
// Used by one thread, the engine thread, which is the only caller of the session. Results depend on
// the commands alone; the clock decides only how a prompt is cut, in which order calls come and
// when a hole is closed.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "engine/engine.h"
#include "ipc/messages.h"
#include "worker/abort_board.h"
#include "worker/adapter_shelf.h"
#include "worker/fair_queue.h"
#include "worker/load_estimate.h"
#include "worker/prefix_cache.h"
#include "worker/sequence.h"
#include "worker/speculation.h"
#include "worker/step_costs.h"
#include "worker/turn_watch.h"
#include "worker/vocabulary.h"

namespace aioss::worker {

struct SchedulerOptions {
  ipc::Profile profile = ipc::Profile::kFast;
  std::uint32_t streams = 1;           // S
  std::uint32_t cells_per_stream = 0;  // C
  std::uint32_t queue_requests_max = 256;
  std::uint32_t batch_tokens_max = 512;    // of the session; at least S
  std::uint32_t prefill_grid_tokens = 64;  // of the engine
  // While others decode: what they wait at most, as measured speed lets one foresee it, for a chunk
  // of a long prompt, and for a short prompt in one piece. With the short ones cut,
  // eight clients on two cores lost a tenth of their total speed (docs/benchmarks.md).
  std::int64_t gap_target_ns = 250'000'000;
  std::int64_t gap_most_ns = 800'000'000;
  std::uint32_t chunk_tokens_min = 16;
  // Of parked sequences: until they are spilled, and until that while others wait for a stream.
  std::int64_t spill_after_ns = 1'000'000'000;
  std::int64_t spill_after_wanted_ns = 100'000'000;
  std::uint64_t spill_bytes_max = 0;  // host memory for that; what does not fit keeps its stream
  // Tokens of a draft at most; the session has a row more. 0: no drafts, as `reproducible` needs.
  std::uint32_t draft_tokens_max = 0;
  // Layers are on a device that can be lost. Then nobody is told that the engine failed: the
  // process ends, and requests go on elsewhere.
  bool on_device = false;
  bool overcommit = false;  // interactive requests take the streams of batch sequences
  // Of a set of adapters while another one has something to compute.
  std::int64_t adapter_turn_ns = 100'000'000;
};

// Where the scheduler says what happened. May block, when the reader of the events is slow.
class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void emit(ipc::FromWorker event) = 0;
  // What was said so far is not to wait for what follows.
  virtual void flush() = 0;
};

class Scheduler final {
 public:
  // The references outlive the scheduler. `prefixes` may be null: nothing is kept; `adapters`
  // likewise: there are none.
  Scheduler(engine::Session& session, const Vocabulary& vocabulary, const SchedulerOptions& options,
            const Clock& clock, AbortBoard& board, EventSink& sink,
            std::unique_ptr<PrefixCache> prefixes = nullptr,
            std::unique_ptr<AdapterShelf> adapters = nullptr);

  void submit(PreparedRequest prepared);  // → Accepted or Rejected
  void cancel(ipc::RequestId id);         // takes effect at once; unknown ids are ignored
  void credit(const ipc::Credit& more);   // likewise
  // What is in their memory, if they were made to wait for this.
  void take_over_prefixes();
  // Nothing that was asked so far is kept, nor what is being computed now.
  void forget_prefixes();
  // Between two calls of the engine, in which nothing is computed.
  ipc::AdapterReport load_adapter(const ipc::LoadAdapter& wanted);
  ipc::AdapterReport unload_adapter(const ipc::UnloadAdapter& wanted);
  // One engine call. An error means that the engine is broken: the request that was in its call
  // alone, if one was, has been finished with the reason, and the scheduler must not be used again.
  Status step();
  // Whoever steps makes a turn of it; any thread may look.
  TurnWatch& watch() { return watch_; }
  // Requests that have not ended.
  bool busy() const { return !requests_.empty(); }
  // Whether step() would do anything now. Otherwise: how long until it may, without a command.
  bool can_step() const;
  std::int64_t idle_ns() const;

  std::uint32_t running() const;
  std::uint32_t queued() const { return static_cast<std::uint32_t>(queue_.size()); }
  // Nothing is kept of any request: neither a stream, nor saved bytes, nor a tenant's account.
  bool is_settled() const;

 private:
  enum class Call : std::uint8_t { kNone, kDecode, kPrefill };
  struct EndedStream {
    std::int32_t stream = kNoStream;
    // What may be kept of it: of a chat, which goes on with what it has. Empty: nothing.
    PrefixCache::Whose whose;
    std::vector<Token> tokens;
  };

  // scheduler_admission.cc
  std::optional<Error> refusal(const PreparedRequest& prepared, std::uint32_t& tokens_max) const;
  void admit();
  static bool may_run(const Sequence* sequence);
  bool can_compute() const;
  void start(Sequence& sequence, std::int32_t stream);
  void waits_no_more(Request& request);
  std::uint32_t queue_share() const;
  bool somebody_waits() const;
  bool starts_at_once() const;

  // scheduler_credit.cc
  void charge(Request& request, std::uint64_t cost);
  Sequence* next_to_spill() const;
  Status spill_parked();
  Status spill(Sequence& sequence);
  Sequence* next_to_resume(ipc::Priority priority) const;
  Status place_waiting();
  Status resume(Sequence& sequence, std::int32_t stream);
  std::int64_t spill_due_ns() const;
  void drop_saved(Sequence& sequence);
  std::int32_t lowest_free_stream() const;

  // scheduler_load.cc
  std::optional<std::uint32_t> wait_seconds(ipc::Priority priority) const;
  bool takes_a_stream(ipc::Priority priority) const;
  std::uint32_t waiting_before(ipc::Priority priority) const;
  Error busy_error(const ipc::Submit& submit, std::string message) const;
  std::optional<Error> no_room(const ipc::Submit& submit) const;
  void describe_load(std::int64_t now_ns);

  // scheduler_preempt.cc
  bool waits(ipc::Priority priority) const;
  std::optional<ipc::Priority> class_in_turn() const;
  void had_turn(Sequence& sequence);
  Sequence* next_to_preempt() const;
  Status preempt();

  // scheduler_prefix.cc
  Status find_prefixes();
  Status find_prefix(Sequence& sequence);
  bool waits_for_another(Sequence& sequence, std::uint32_t cached);
  // kGone: it was of no use and is dropped. kUncut: the engine could not cut it.
  enum class Loaded : std::uint8_t { kYes, kGone, kUncut };
  Result<Loaded> load_prefix(Sequence& sequence, PrefixCache::Number number, std::uint32_t tokens);
  Status empty_stream(Sequence& sequence);
  std::uint32_t usable(const Request& request, std::size_t tokens) const;
  bool cut_serves() const;
  std::uint32_t next_stop(const Sequence& sequence) const;
  std::vector<Sequence*> take_forks(const Sequence& source);
  Result<bool> fork_from(Sequence& source, std::int32_t stream, std::span<Sequence* const> forks);
  bool cut_to_fork(Sequence& fork, std::uint32_t held);
  static void look_again(Sequence& sequence);
  void forget_source(const Sequence& source);
  bool is_worth_keeping(const Sequence& sequence, bool forked) const;
  bool is_worth_continuing(const Sequence& sequence, ipc::FinishReason reason) const;
  void keep_prefix(PrefixCache::Whose whose, std::span<const Token> prefix, std::int32_t stream);
  void keep_conversation(const EndedStream& ended);

  // scheduler_adapters.cc
  bool in_turn(const Sequence& sequence) const;
  bool may_run_now(const Sequence* sequence) const;
  std::vector<std::uint64_t> sets_at_work() const;
  void choose_set();
  std::vector<Sequence*> prefilling_now() const;
  std::int32_t stream_for(const Sequence& sequence) const;

  // scheduler.cc
  Call choose_call() const;
  bool ends_go_on() const;
  Status decode_step();
  Status prefill_step();
  Sequence& next_to_prefill();
  std::uint32_t on_grid(std::uint32_t tokens) const;
  std::uint32_t kept_at(const Request& request) const;
  bool is_worth_its_room(const Sequence& sequence, std::uint32_t at) const;
  std::uint32_t chunk_end(const Sequence& sequence) const;
  std::uint32_t chunk_end_alone(const Sequence& sequence) const;
  Status run_batch(std::span<Sequence* const> affected);
  Status after_abort(Sequence& sequence);
  Status finish_prefill(Sequence& sequence);
  Status close_hole();
  Status clear_ended_streams();
  Status broken(std::span<Sequence* const> affected, Error error);
  // The set that decodes in each stream; nothing: none, or it does not.
  using StreamSets = std::vector<std::optional<std::uint64_t>>;
  StreamSets decoding_streams() const;
  static std::vector<std::uint32_t> runs_of(const StreamSets& decoding);

  // scheduler_speculation.cc
  std::span<const Token> foresee(std::span<Sequence* const> decoding);
  Status verify_step(Sequence& sequence, std::span<const Token> drafts);
  Status cut(Sequence& sequence);
  Status recompute(Sequence& sequence);

  // scheduler_events.cc
  void take_token(Sequence& sequence, std::span<const float> logits);
  void replay(Sequence& sequence, Token token);
  void emit_text(Sequence& sequence, ipc::Delta delta, std::string text);
  ipc::TokenLogprob describe(const SampledToken& sampled) const;
  void finish(Sequence& sequence, ipc::FinishReason reason, std::optional<Error> error = {});
  void forget_finished();
  void emit_stats_if_due();

  engine::Session& session_;
  const Vocabulary& vocabulary_;
  const SchedulerOptions options_;
  const Clock& clock_;
  TurnWatch watch_;
  AbortBoard& board_;
  EventSink& sink_;
  StepCosts costs_;
  VerifyCosts verify_costs_;
  LoadEstimate estimate_;
  SamplerScratch scratch_;

  std::map<ipc::RequestId, std::unique_ptr<Request>> requests_;
  const std::unique_ptr<PrefixCache> prefixes_;  // null: none
  const std::unique_ptr<AdapterShelf> adapters_;
  // The set whose turn it is, calls in that turn, and when it began; the set of the last call, and
  // whether that was another one than the call's before: its time says nothing of others.
  std::uint64_t turn_of_ = 0;
  std::uint32_t turn_calls_ = 0;
  std::int64_t turn_began_ns_ = 0;
  std::uint64_t called_for_ = 0;
  bool set_was_changed_ = false;
  // Whether the engine has cut the end off a kept state, and whether it has refused to, so far; and
  // whether it has refused to cut off what lies behind the grid alone, outside profile fast. One
  // that forgets (a sliding window) may do the latter and not the former.
  bool cuts_ = false, cuts_refused_ = false, tails_stay_ = false;
  std::optional<bool> ends_are_cut_;        // of copies, in profile fast; nothing: not tried yet
  FairQueue queue_;                         // of requests_
  std::deque<Sequence*> resuming_;          // spilled, with credit again; in order of that
  std::deque<Sequence*> prefilling_;        // in order of admission
  std::vector<Sequence*> streams_;          // by engine sequence id; null: free
  std::vector<EndedStream> ended_streams_;  // to be cleared before the next call
  Call last_call_ = Call::kNone;
  std::int64_t decoded_ns_ = 0;  // when the last decode step began
  std::uint32_t prefill_calls_ = 0;
  std::uint32_t drafts_max_;   // 0 also once the engine could not cut
  std::uint32_t spilled_ = 0;  // sequences
  std::uint64_t spilled_bytes_ = 0;

  struct Batch {
    std::vector<std::int32_t> tokens, positions, sequences;
    std::vector<std::uint8_t> outputs;
    void clear();
    void add(Token token, std::uint32_t position, std::int32_t sequence, bool output);
  } batch_;
  ipc::Stats stats_;
  std::uint64_t tokens_told_ = 0;  // completion tokens of the last Stats
  std::int64_t stats_sent_ns_ = 0;
  bool stats_idle_sent_ = true;
};

}  // namespace aioss::worker
