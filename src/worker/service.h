// A loaded model at work: the three threads of a worker, from the socket to the engine and back.
//
//   reader (the caller's)  frames → commands; answers Ping and Probe; sees the end of the stream
//   text                   tokenizer and chat template: a long prompt delays no token of others
//   engine                 the scheduler: the only caller of the session
//
// Each sends its own events, the engine those of a step in one system call, and first tokens before
// states are copied: a thread for that would cost every token a change of context on cores that
// compute. Sending waits while the socket is full; the gateway always drains its end, so that is
// the engine's back-pressure, and nothing is lost.
//
// Queues: the worker has at most requests_max_ requests and kTextBytesMax bytes of prompts that are
// not yet tokens; beyond that Submit is refused (kBusy). The engine's commands are bounded by the
// requests, so that whoever posts one never waits, and the reader answers pings.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "engine/text.h"
#include "ipc/channel.h"
#include "ipc/messages.h"
#include "os/thread.h"
#include "worker/abort_board.h"
#include "worker/handoff.h"
#include "worker/prompt_bounds.h"
#include "worker/scheduler.h"
#include "worker/worker.h"

namespace aioss::worker {

// What the confinement refuses, tried.
ipc::ProbeReport probe_report();

class Service final : private EventSink {
 public:
  // Everything passed in outlives the service; the session's abort callback asks `board`.
  Service(ipc::Channel& channel, engine::Session& session, const engine::TextModel& text,
          const Vocabulary& vocabulary, const SchedulerOptions& options, const Clock& clock,
          AbortBoard& board, std::unique_ptr<PrefixCache> prefixes,
          std::unique_ptr<AdapterShelf> adapters = nullptr);
  // Before it runs: the prefixes are taken over when the gateway says so.
  void expect_take_over() { take_over_due_ = true; }

  // Until the socket closes, Shutdown or Park comes or the engine breaks; at once if the system
  // gives it no threads. Call once.
  WorkerExit run();
  // Park has ended it, and the conversation goes on over the same channel.
  bool is_parked() const { return parks_.load() && !engine_broken_.load(); }

  // Driven by hand, in place of run(): what each thread does in one turn. The next frame; an exit:
  // the conversation is over. What waits to be tokenized. The commands there are, and a step;
  // false: the engine is broken.
  std::optional<WorkerExit> take_frame(ByteView frame);
  void text_turn(std::chrono::milliseconds patience);
  bool engine_turn(std::chrono::milliseconds patience);
  bool is_to_be_forgotten(ipc::RequestId id);
  const Scheduler& scheduler() const { return scheduler_; }

 private:
  struct TextJob {
    ipc::Submit submit;
    std::int64_t received_ns = 0;
    std::size_t bytes = 0;
  };
  using EngineCommand = std::variant<PreparedRequest, ipc::Cancel, ipc::Credit, ipc::TakeOver,
                                     ipc::Forget, ipc::LoadAdapter, ipc::UnloadAdapter>;

  // How far a request is, from its Submit until its last event is made.
  enum class Stage : std::uint8_t {
    kPreparing,  // the engine has not heard of it
    kCancelled,  // nor will it: the text thread answers
    kEngine,     // the engine has it, or will, with its next commands
    kCancelSent,
  };
  struct Known {
    Stage stage = Stage::kPreparing;
    std::uint32_t choices_open = 1;
    std::uint64_t credit_bytes = 0;  // that the engine thread has not taken yet
    bool leaves_prefix = true;       // it came after the last Forget
  };

  // Of the engine thread: kept until flush(), or the end of the step.
  void emit(ipc::FromWorker event) override;
  void flush() override { send_step(); }
  void forget(ipc::RequestId id);
  void choice_ended(ipc::RequestId id);
  void send_step();
  void send(const ipc::FromWorker& event);  // any thread
  void sent(const Status& status);

  // Starts the other threads, which the caller joins whatever happens, and reads.
  Result<WorkerExit> serve(os::Thread& text, os::Thread& engine);
  Result<os::Thread> start_text();
  WorkerExit read_commands();
  std::optional<Error> take(ipc::Submit submit);  // why it cannot
  WorkerExit park();
  std::optional<std::uint32_t> wait() const;
  void handle(const ipc::Cancel& cancel);
  void handle(const ipc::Credit& credit);
  bool take_over_prefixes();                   // false: it was not to come, or not again
  bool order(EngineCommand about_an_adapter);  // false: one is not answered yet
  void forget_prefixes();

  void text_loop();
  bool cancelled_before(ipc::RequestId id);
  void prepare(TextJob job);
  Result<std::vector<Token>> tokens_of(const ipc::Prompt& prompt, std::int64_t now_unix_s) const;
  std::optional<Error> pass_on(PreparedRequest prepared);

  std::uint64_t take_credit(ipc::RequestId id);
  std::chrono::milliseconds patience() const;
  void engine_loop();
  void run_engine();
  void settle();
  void guarded(const char* thread, void (Service::*body)());

  ipc::Channel& channel_;
  const engine::TextModel& text_;
  const Clock& clock_;
  AbortBoard& board_;
  Scheduler scheduler_;  // the engine thread's
  PromptBounds bounds_;  // the text thread's, once that runs
  const std::size_t requests_max_;
  Handoff<TextJob> text_jobs_;
  Handoff<EngineCommand> commands_;
  std::vector<Bytes> step_;  // the engine thread's: frames of this step that are not sent yet
  std::mutex sending_mutex_;
  bool sending_ = true;  // guarded by sending_mutex_; the gateway still listens
  std::atomic<bool> engine_broken_{false};
  std::atomic<bool> parks_{false};
  static constexpr std::uint32_t kWaitUnknown = UINT32_MAX;
  std::atomic<std::uint32_t> wait_seconds_{kWaitUnknown};
  std::atomic<std::size_t> text_bytes_{0};  // of prompts in text_jobs_
  std::mutex requests_mutex_;
  std::unordered_map<ipc::RequestId, Known> requests_;  // guarded by requests_mutex_
  bool take_over_due_ = false;                          // the reader's: TakeOver is still to come
  std::atomic<bool> forgets_{false};          // the prefixes, once the engine thread looks
  std::atomic<bool> adapter_ordered_{false};  // LoadAdapter or UnloadAdapter, not answered yet
};

}  // namespace aioss::worker
