// The implementation of Stream: one request from its submission to its last record.
//
// It is told what happens by the runtime thread (begin, abort), by a worker link's reader thread
// (accepted, delta, …) and by the ledger thread (a record is durable), and turns it into events
// that respect the gates described in calls/stream.h. All state is behind one lock; nothing is
// called with it held: what a step causes (a record to append, the consumer to wake, the worker to
// stop) is collected and done after.
//
// Every stream leaves exactly one end in the ledger: INFER_RESULT or INFER_ABORT; the latter also
// if the request never reached a worker. Only a ledger that refuses to write can prevent that.
//
// The salts of its commitments come from the subject whose request it is. With `sealed`, prompt and
// outputs are also kept as sealed texts: the custodian writes them before the records that name
// them are appended, and a text that cannot be kept ends the request.
//
// What the worker says is untrusted: a message that breaks the protocol is answered with an error,
// and the link kills the worker.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "ledger/custody/custody.h"
#include "ledger/writing/ledger.h"
#include "runtime/calls/adapter_wish.h"
#include "runtime/calls/generate_call.h"
#include "runtime/calls/stream.h"
#include "runtime/streams/custodian.h"

namespace aioss::runtime {

// What a worker may send before the consumer has read: the credit of a stream, as ipc::cost_of
// counts. With the socket's buffer and one write, less than 100 KiB of an answer wait for a slow
// client.
inline constexpr std::uint64_t kCreditBytes = std::uint64_t{32} << 10;
// Given back in steps: a message to the worker for so much that was read.
inline constexpr std::uint64_t kCreditStepBytes = std::uint64_t{8} << 10;

// Unread bytes of one stream. Far more than a client that reads can be behind, little beside a
// model.
inline constexpr std::size_t kUnreadBytesMax = std::size_t{8} << 20;
// Text of one stream, of all its choices, kept for its commitments: 16 choices of 2 MiB. A request
// may want more, so it is the request that ends, not the worker.
inline constexpr std::size_t kOutputBytesMax = std::size_t{32} << 20;

class StreamState;

enum class StreamOutcome { kDone, kCancelled, kFailed };

// What a stream asks of the gateway. Called without locks, from any thread; must not block.
class StreamHost {
 public:
  virtual ~StreamHost() = default;
  // Erasures so far. What was asked before the last one is not kept as a prefix.
  virtual std::uint64_t erasures() const { return 0; }
  virtual void stop_worker(ipc::RequestId id) = 0;  // the worker need not go on with it
  // Its consumer has read on: take_credit() says how much. Not again before that was called.
  virtual void drained(const StreamState& stream) = 0;
  // Once: from submission to the first computation, a load included, or to an end without one.
  virtual void waited(std::int64_t nanoseconds) = 0;
  // Its worker did not take it; it has not ended yet.
  virtual void refused(const StreamState& stream, Code why) = 0;
  virtual void ended(const StreamState& stream, StreamOutcome outcome) = 0;  // once, the last
};

struct StreamSetup {
  GenerateCall call;  // with id and seed
  std::string request_id;
  ipc::Profile profile = ipc::Profile::kFast;
  std::uint64_t config_record = 0;  // the newest CONFIG_CHANGE when it was submitted
  bool sealed = false;              // keep the texts, too
  std::size_t frame_bytes = 0;      // of the request, as a worker gets it
  std::uint64_t erasures = 0;       // that there had been: see StreamHost
};

// So many ends from inside make a request a suspect, which runs alone; one more, alone, is proof.
inline constexpr std::uint32_t kCrashesOfASuspect = 2;
// The kernel's killer may have its reason in a request, too: so many kills without a token between
// them have the same consequence.
inline constexpr std::uint32_t kKillsOfASuspect = 5;
// But it may have waited in those workers, and been computed in none. The proof is so many more of
// which each had it alone.
inline constexpr std::uint32_t kKillsAloneOfProof = 3;

struct LoadedModel {  // what a request is bound to when it starts
  std::uint64_t load_record = 0;
  std::uint32_t cells_per_stream = 0;
  Digest sha256{};                           // of the file
  std::string engine = {};                   // that computes it, with its build
  std::vector<LoadedAdapter> adapters = {};  // as they were asked for
};

class StreamState final : public Stream, public std::enable_shared_from_this<StreamState> {
 public:
  // Ledger, custodian and clock outlive the stream's last record.
  StreamState(StreamSetup setup, ledger::Ledger& ledger, Custodian& custodian, const Clock& clock,
              std::shared_ptr<StreamHost> host);
  ~StreamState() override;  // nothing of the answer stays in memory that is used again
  // Whose it is. Once, by whoever made it, before the runtime thread gets it.
  void belongs_to(ledger::SubjectPtr subject);
  const ledger::SubjectPtr& subject() const { return subject_; }  // null: the vault has none

  const std::string& request_id() const override { return setup_.request_id; }
  ipc::Profile profile() const override { return setup_.profile; }
  std::uint64_t seed() const override { return setup_.call.request.sampling.seed; }
  std::optional<StreamEvent> try_next() override;
  std::optional<StreamEvent> next_for(std::chrono::milliseconds timeout) override;
  void set_wake(std::function<void()> wake) override;
  std::optional<ModelWait> model_wait() const override;
  void cancel() override;
  void give_up(Error why) override;

  ipc::RequestId id() const { return setup_.call.request.id; }
  const std::string& model() const { return setup_.call.model; }
  const Principal& principal() const { return setup_.call.principal; }
  // Its adapters are named once it has begun; until then, wishes() has what they are called.
  const ipc::Submit& request() const { return setup_.call.request; }
  const std::vector<AdapterWish>& wishes() const { return setup_.call.adapters; }
  std::optional<std::int64_t> deadline_ns() const;   // monotonic
  std::optional<std::int64_t> load_wait_ns() const;  // likewise: until then its model is ready
  std::optional<std::chrono::seconds> keep_alive() const { return setup_.call.keep_alive; }
  std::uint64_t canary_of() const { return setup_.call.canary_of; }  // a load; 0: it is none
  std::vector<std::vector<ipc::Token>> tokens() const;               // of each choice, so far
  std::uint64_t token_count() const;                                 // of all choices
  std::uint32_t choices_open() const;

  // Runtime thread. False: it has ended or its client has left, and must not start.
  bool wants_to_run() const;
  // Appends INFER_REQUEST. Once, before the worker gets the request. False: it has ended in the
  // meantime, and the worker must not get it.
  bool begin(const LoadedModel& model);
  // For model_wait(); nothing once it is handed to a worker.
  void set_model_wait(std::optional<ModelWait> wait);
  // What was read since the last call, for the worker.
  std::uint64_t take_credit();
  // What the next worker gets: the request, and behind it what was made of it so far.
  ipc::Submit next_request();
  // What a worker that may get it can compute of it before, as far as it is now.
  ipc::Submit request_ahead(ipc::RequestId number) const;
  // Whether it was begun by this model, and so can be gone on with by it; in profiles that promise
  // the same bytes, by this engine, too.
  bool is_of(const Digest& sha256, const std::string& engine) const;
  bool has_begun() const;
  // Its worker has ended: from inside, or killed by somebody else; `alone`: with no other request.
  // True: it is the cause for certain.
  bool worker_ended(bool from_inside, bool alone);
  // It may be what kills workers: it is to run alone.
  bool is_suspect() const;
  // After its end: nobody asks for the prompt any more, but a slow client may still read on.
  void drop_prompt();

  // Any thread. Ends it without waiting for the worker. Later calls change nothing. With the client
  // gone, the cause that is recorded is that.
  void abort(Error error);
  // The ledger is shut: nothing more may be shown, nothing can be recorded.
  void ledger_failed(const Error& error);

  // Link thread: its worker is lost. True: it goes on with another one, for which next_request()
  // is. False: it has ended or is ending, and must be aborted.
  bool interrupted();
  // Link thread. An error means: the worker broke the protocol.
  Status accepted(const ipc::Accepted& message);
  Status rejected(ipc::Rejected message);
  Status delta(ipc::Delta message);
  // True if that was the last choice: the worker will say no more of this request.
  Result<bool> finished(ipc::Finished message);

 private:
  // kRefused: the worker has the request, but its text could not be kept, so it is not recorded.
  enum class RequestRecord { kNone, kPending, kDurable, kRefused };
  enum class End { kOpen, kResult, kAbort };

  struct Choice {
    std::string text;
    std::vector<ipc::Token> tokens;
    // What came without a token, since the last one: text that was held back for a stop string
    // until the end. If the worker dies before it says that end, the next one says this again.
    std::string let_go;
    std::string said_again;           // of the worker that has it now: what is still to be skipped
    std::int64_t first_token_ns = 0;  // 0: not yet
    bool ended = false;
    ChoiceEnd end;
  };

  struct Append {
    ledger::RecordType type{};
    codec::Map body;
  };
  struct Effects {  // of one step, for after the lock
    bool changed = false;
    bool stop_worker = false;
    bool drained = false;
    std::optional<Append> append;
    bool seal_outputs = false;
    std::optional<Code> refused;
    std::optional<StreamOutcome> outcome;
    std::optional<std::int64_t> waited_ns;
  };
  void perform(Effects effects);
  void wake(bool last);

  // All with mutex_ held.
  ipc::Submit request_now() const;
  bool is_open() const;
  bool fits_a_frame() const;
  std::optional<StreamEvent> take(Effects& effects);
  void push(StreamEvent event);
  void push_delta(StreamDelta delta, Effects& effects);
  void give_up(Error error, Effects& effects);
  void open_gate_if_due(Effects& effects);
  void decide(End end, std::optional<Error> error, Effects& effects);
  void append_end_if_due(Effects& effects);
  codec::Map result_body(const std::vector<ledger::BlobName>& blobs) const;
  codec::Map abort_body();
  void drop_unread();
  void finish_failed(Error error, std::optional<std::uint64_t> record, Effects& effects);
  void finish_done(std::uint64_t record, Effects& effects);
  std::uint64_t tokens_so_far() const;
  void count_wait(std::int64_t until_ns, Effects& effects);
  void count_wait_at_end(Effects& effects);
  static void skip_said_again(Choice& choice, ipc::Delta& message);
  ipc::Timings whole_times(const Choice& choice, const ipc::Timings& told) const;

  // Without the lock.
  void seal_prompt(codec::Map body, Bytes prompt);
  void seal_outputs();
  // Custodian's thread.
  using Sealed = Result<std::vector<ledger::BlobName>>;
  void prompt_sealed(codec::Map body, const Sealed& sealed);
  void outputs_sealed(const Sealed& sealed);

  // Ledger thread.
  void request_recorded(const Result<ledger::Committed>& result);
  void end_recorded(const Result<ledger::Committed>& result);

  StreamSetup setup_;           // constant from belongs_to() on, but for drop_prompt()
  ledger::SubjectPtr subject_;  // likewise; null if the vault does not know them
  ledger::Ledger& ledger_;
  Custodian& custodian_;
  const Clock& clock_;
  const std::shared_ptr<StreamHost> host_;
  const std::int64_t submitted_ns_;

  mutable std::mutex mutex_;  // guards all that follows
  std::condition_variable readable_;
  std::shared_ptr<const std::function<void()>> wake_;
  std::deque<StreamEvent> events_;
  std::size_t unread_bytes_ = 0;
  std::uint64_t credit_due_ = 0;  // that was read and not given back yet
  bool credit_announced_ = false;
  bool gate_open_ = false;  // events_ may be seen

  RequestRecord request_record_ = RequestRecord::kNone;
  std::uint64_t request_index_ = 0;
  std::uint32_t token_limit_ = 0;  // of a choice
  bool accepted_ = false;          // by the worker that has it
  bool resumed_ = false;           // it is not the first one
  Digest begun_by_{};              // the model
  std::string begun_with_;         // the engine
  std::uint32_t crashes_ = 0;
  std::uint32_t stuck_ = 0;        // kills one after another, and no token between
  std::uint32_t stuck_alone_ = 0;  // of them, the last ones, of workers that had nothing else
  std::uint64_t tokens_at_kill_ = 0;
  std::uint32_t prompt_tokens_ = 0;
  std::uint32_t cached_tokens_ = UINT32_MAX;  // of the prompt; the least that a choice had
  std::vector<Choice> choices_;
  std::size_t choices_ended_ = 0;
  std::size_t output_bytes_ = 0;
  std::optional<std::size_t> last_choice_;  // its end is held back until the result is durable

  std::optional<Error> cancelled_;  // the client left or reads too slowly, or the text is too long
  std::optional<Error> failure_;    // of a choice
  End end_ = End::kOpen;
  std::optional<Error> end_error_;
  bool end_appended_ = false;
  bool over_ = false;  // the terminal event is in events_

  std::optional<ModelWait> model_wait_;
  bool wait_counted_ = false;
  std::int64_t queue_ns_ = 0;  // of the wait, what was behind begun_ns_
  // 0: not yet; the second only while the wait is not counted.
  std::int64_t begun_ns_ = 0, first_token_ns_ = 0;
};

}  // namespace aioss::runtime
