// One worker process and the conversation with it: start, handshake, load, requests, health, end.
//
// Threads: `link-N` reads frames and hands them to the streams; `send-N` writes what is queued, so
// that a worker that does not read can never block anyone else. All other calls come from the
// runtime thread. The worker is not trusted: every frame is checked against what it may say now,
// and one that breaks the protocol gets the process killed. Its death, of whatever kind, closes the
// socket, so the reader learns of it at once, ends the streams and reports it as the last event.
//
// The events are called on the reader's thread, without locks, and must not block.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "base/bounded_queue.h"
#include "base/result.h"
#include "ipc/channel.h"
#include "ipc/messages.h"
#include "os/process.h"
#include "os/thread.h"
#include "plugins/engine_table.h"
#include "runtime/models/worker_peer.h"
#include "runtime/streams/stream_state.h"

namespace aioss::runtime {

struct LinkOptions {
  std::string model;  // for messages
  std::string executable;
  std::uint64_t number = 0;    // of the worker, for thread names
  std::vector<int> model_fds;  // borrowed until start() returns
  int prefix_fd = -1;          // likewise: memory for states of prefixes; -1: none
  int adapter_fd = -1;         // likewise: memory where it finds adapters; -1: none
  std::shared_ptr<const plugins::EngineImage> engine;  // null or linked: it has it in itself
  ipc::Configure configure;
  std::size_t streams_max = 0;                 // that the gateway has at once
  std::chrono::milliseconds exit_grace{2000};  // from the end of its socket to SIGKILL
  // From SIGKILL to giving up: a process can sleep in the kernel, where no signal reaches it.
  std::chrono::milliseconds reap_max{30'000};
  std::size_t thread_stack_bytes = os::Thread::kSystemsStack;  // of the link's own
};

// The worker is lost: the requests that can go on with another one. Those that cannot were aborted.
struct LinkLost {
  std::vector<std::shared_ptr<StreamState>> survivors;
};

struct LinkEnded {
  Error error;               // kWorkerDied, or why it was killed
  std::string status;        // "exit code 3", "signal 9 (Killed)", "not reaped"
  int signal = 0;            // that ended it; 0: none
  bool from_inside = false;  // not a kill by somebody else: a request may be the cause
  // If it was not: to look now and then whether it has ended. Dropped before, it is left to init.
  std::shared_ptr<os::Child> unreaped;
};

// In order: Hello, then Ready or LoadFailed, then ProbeReports (one for each probe()), Parked for
// each park(), and Ready or LoadFailed again for each wake(). LinkLost may come at any point, and
// after it only LinkEnded, once the process is gone. An AdapterReport answers load_adapter() or
// unload_adapter().
using LinkEvent = std::variant<ipc::Hello, ipc::Ready, ipc::LoadFailed, ipc::Parked,
                               ipc::ProbeReport, ipc::AdapterReport, LinkLost, LinkEnded>;

class WorkerLink final {
 public:
  using OnEvent = std::function<void(LinkEvent)>;
  // After an error there is no process, and no event came.
  static Result<std::unique_ptr<WorkerLink>> start(const LinkOptions& options, OnEvent on_event);
  using Start = std::function<Result<std::unique_ptr<WorkerLink>>(const LinkOptions&, OnEvent)>;
  // With a peer of the caller's and without threads: flush() and step() are their work.
  static std::unique_ptr<WorkerLink> by_hand(const LinkOptions& options,
                                             std::unique_ptr<WorkerPeer> peer, OnEvent on_event);
  // Kills the worker if it still runs.
  ~WorkerLink();
  WorkerLink(const WorkerLink&) = delete;
  WorkerLink& operator=(const WorkerLink&) = delete;

  int pid() const { return pid_; }
  float load_fraction() const { return load_fraction_.load(std::memory_order_relaxed); }
  ipc::Stats stats() const;
  std::size_t outstanding() const;  // requests that the worker has

  // Makes the worker's answers reach the stream from now on. False: the worker has ended, though
  // LinkEnded may be still to come.
  // Not while it still has the request: see has().
  bool admit(std::shared_ptr<StreamState> stream);
  // It was admitted, and the worker has not said its last of it: also if it was released.
  bool has(ipc::RequestId id) const;
  // Hands over a request that was admitted and begun, by this worker or an earlier one.
  void submit(StreamState& stream);
  // Has the worker compute a request's prompt ahead (Submit::prefix_only), for a stream that is to
  // come: nobody hears of it, and has() says until when. False: the worker has ended.
  bool submit_ahead(const ipc::Submit& request);
  // Takes back a request at a token boundary, so that it can go on with another worker: what this
  // one still says of it is dropped. Null: it has ended, or is ending.
  std::shared_ptr<StreamState> release(ipc::RequestId id);
  void cancel(ipc::RequestId id);               // nothing if the worker does not have it
  void give_credit(const ipc::Credit& credit);  // likewise
  void take_over_prefixes();                    // once, if its Configure said so
  void forget_prefixes();
  void probe();
  // Once it is ready, and not before the last of these was answered. What is loaded is in the
  // memory for adapters, and stays there until then.
  void load_adapter(const ipc::LoadAdapter& wanted);
  void unload_adapter(const ipc::UnloadAdapter& unwanted);
  // It has no request and is to get none before it is awake again: it frees all but its model.
  // Parked follows.
  void park();
  // After Parked: with a session of this kind, of the same engine and profile. Ready follows, or
  // LoadFailed and its end.
  void wake(const ipc::Configure& session);

  // Asks it to end; terminate() and kill() are for one that does not. `why` is what streams and
  // LinkEnded are told, if nothing was before.
  void stop(Error why);
  void terminate();
  // Requests that it has may go on with another one, unless `streams` says otherwise.
  enum class Streams { kGoOn, kEnd };
  void kill(Error why, Streams streams = Streams::kGoOn);

  // Every second while it serves: asks for a sign of life. The reason if it has been silent, or
  // ignored a cancel, for too long; the caller kills it.
  std::optional<Error> check_health();
  bool ping_outstanding() const;  // for tests: the sign of life is still to come

  // Driven by hand. flush() sends what waits for the worker. step() handles the peer's next frame,
  // or the end of its conversation, when there is one or the other to receive; after that end it
  // looks whether the process has ended, and then tells so, once.
  bool has_outgoing() const { return outbox_.size() > 0; }
  void flush();
  void step();

 private:
  WorkerLink(const LinkOptions& options, std::unique_ptr<WorkerPeer> peer, OnEvent on_event);

  enum class Phase { kHello, kLoading, kServing, kParking, kParked, kWaking };
  struct Entry {
    std::shared_ptr<StreamState> stream;  // null: it was taken back, or is computed ahead
    unsigned cancel_seconds = 0;          // since Cancel was sent; 0: it was not
    std::uint32_t ends_due = 0;           // of one without a stream: choices whose end is to come
  };

  // Reader's thread.
  void read_loop();
  Error read_frames();
  std::optional<Error> read_frame();  // nothing: it was a good one
  Status handle(ipc::FromWorker message);
  bool is_in_time(const ipc::FromWorker& message) const;
  Status on(ipc::Hello& message);
  Status on(ipc::LoadProgress& message);
  Status on(ipc::Ready& message);
  Status on(ipc::LoadFailed& message);
  Status on(ipc::Accepted& message);
  Status on(ipc::Rejected& message);
  Status on(ipc::Delta& message);
  Status on(ipc::Finished& message);
  Status on(ipc::Stats& message);
  Status on(ipc::Pong& message);
  Status on(ipc::Parked& message);
  Status on(ipc::ProbeReport& message);
  Status on(ipc::AdapterReport& message);
  Result<std::shared_ptr<StreamState>> stream_of(ipc::RequestId id) const;
  void forget(ipc::RequestId id);
  void forget_choice(ipc::RequestId id);  // of one that was taken back
  std::vector<std::shared_ptr<StreamState>> take_requests();
  Error reason_of_end(const Error& found, const std::string& status) const;
  std::optional<os::ExitStatus> reap();
  void lose(const Error& found);
  void tell_end(const Error& found, const std::optional<os::ExitStatus>& exit);
  bool may_go_on(const Error& why) const;
  bool was_killed_by_others(const Error& found, const std::optional<os::ExitStatus>& exit) const;

  void write_loop();
  void send(const ipc::ToWorker& message);
  void send_signal(int signal);
  void remember_reason(Error why);

  const std::string model_;
  const std::uint64_t number_;
  ipc::Configure configure_;  // of the session that is made or to be made: see phase_
  const std::chrono::milliseconds exit_grace_, reap_max_;
  const OnEvent on_event_;
  const std::unique_ptr<WorkerPeer> peer_;
  const int pid_;
  BoundedQueue<Bytes> outbox_;
  std::atomic<float> load_fraction_{0};
  // The reader's, but for kServing and kParked, which park() and wake() end.
  std::atomic<Phase> phase_{Phase::kHello};
  // Reader's thread only.
  std::optional<Error> found_;  // driven by hand: how the conversation ended
  bool end_told_ = false;       // likewise

  // Held while the reader hands on what is said of a request, so that release() is between two
  // messages. Before mutex_.
  std::mutex handing_on_;
  mutable std::mutex mutex_;  // guards all that follows
  std::unordered_map<ipc::RequestId, Entry> requests_;
  bool ended_ = false;
  std::optional<Error> reason_;
  bool streams_end_ = false;  // with the worker
  ipc::Stats stats_;
  std::uint64_t ping_nonce_ = 0;
  std::optional<std::uint64_t> ping_outstanding_;
  unsigned hanging_pongs_ = 0;  // the last ones, which said that the engine hangs
  unsigned silent_seconds_ = 0;
  unsigned probes_outstanding_ = 0;
  std::optional<Digest> adapter_outstanding_;  // what is still to be answered is about it

  os::Thread reader_, writer_;
};

}  // namespace aioss::runtime
