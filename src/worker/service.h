// A loaded model at work: the three threads of a worker, from the socket to the engine and back.
//
//   reader (the caller's)  frames → commands; answers Ping and Probe; sees the end of the stream
//   text                   tokenizer and chat template: a long prompt delays no token of others
//   engine                 the scheduler: the only caller of the session
//
// Each sends its own events, the engine those of a step in one system call: a thread for that would
// cost every token a change of context on cores that compute. Sending waits while the socket is
// full; the gateway always drains its end, so that is the engine's back-pressure, and nothing is
// lost.
//
// Queues: text takes at most kTextJobsSpare requests more than may be queued and kTextBytesMax
// bytes of prompts, beyond that Submit is refused (kBusy); commands wait for room.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "engine/text.h"
#include "ipc/channel.h"
#include "ipc/messages.h"
#include "worker/abort_board.h"
#include "worker/handoff.h"
#include "worker/scheduler.h"
#include "worker/worker.h"

namespace aioss::worker {

class Service final : private EventSink {
 public:
  // Everything passed in outlives the service; the session's abort callback asks `board`.
  Service(ipc::Channel& channel, engine::Session& session, const engine::TextModel& text,
          const Vocabulary& vocabulary, const SchedulerOptions& options, const Clock& clock,
          AbortBoard& board);

  // Until the socket closes, a Shutdown comes or the engine breaks. Call once.
  WorkerExit run();

 private:
  struct TextJob {
    ipc::Submit submit;
    std::int64_t received_ns = 0;
    std::size_t bytes = 0;
  };
  using EngineCommand = std::variant<PreparedRequest, ipc::Cancel>;

  // Of the engine thread: kept until send_step().
  void emit(ipc::FromWorker event) override { step_.push_back(ipc::encode(event)); }
  void send_step();
  void send(const ipc::FromWorker& event);  // any thread
  void sent(const Status& status);

  WorkerExit read_commands();
  void handle(ipc::Submit submit);
  void handle(const ipc::Cancel& cancel);
  void report_probe();

  void text_loop();
  bool cancelled_before(ipc::RequestId id);
  void prepare(TextJob job);
  Result<std::vector<Token>> tokens_of(const ipc::Prompt& prompt, std::int64_t now_unix_s) const;

  void engine_loop();
  void run_engine();
  void guarded(const char* thread, void (Service::*body)());

  ipc::Channel& channel_;
  const engine::TextModel& text_;
  const Clock& clock_;
  AbortBoard& board_;
  Scheduler scheduler_;  // the engine thread's
  Handoff<TextJob> text_jobs_;
  Handoff<EngineCommand> commands_;
  std::vector<Bytes> step_;  // the engine thread's: frames of this step
  std::mutex sending_mutex_;
  bool sending_ = true;  // guarded by sending_mutex_; the gateway still listens
  std::atomic<bool> engine_broken_{false};
  std::atomic<std::size_t> text_bytes_{0};  // of prompts in text_jobs_
  std::mutex preparing_mutex_;
  // Requests that the engine has not heard of, and whether they were cancelled meanwhile.
  std::unordered_map<ipc::RequestId, bool> preparing_;  // guarded by preparing_mutex_
};

}  // namespace aioss::worker
