#include "runtime/models/worker_link.h"

#include <algorithm>
#include <csignal>
#include <thread>
#include <utility>

#include "base/assert.h"
#include "base/log.h"
#include "ipc/limits.h"
#include "os/thread.h"
#include "runtime/calls/stopping.h"
#include "runtime/dry_runs/gpu_process.h"
#include "runtime/dry_runs/model_child.h"

namespace aioss::runtime {
namespace {

// Beside requests and their cancels: configure, shutdown, probes, one ping and one word about an
// adapter at a time.
constexpr std::size_t kOutboxSpare = 16;
// A request, its cancel, and as often credit as its consumer can read before the worker sends more.
constexpr std::size_t kFramesPerStream = 2 + kCreditBytes / kCreditStepBytes + 2;
constexpr auto kOutboxWait = std::chrono::seconds(60);  // only to have a deadline; close() wakes it
// A worker's reader thread answers pings between frames; half a minute of silence is a hang, and
// not a machine under load. Counted in checks, not in time, so that a gateway that was itself
// stopped for a while does not blame its workers.
constexpr unsigned kSilentChecksMax = 30;
// A cancel is honoured between two graphs; a minute covers a large prefill on a slow machine.
constexpr unsigned kCancelChecksMax = 60;
constexpr auto kReapStep = std::chrono::milliseconds(5);

// What a worker is given beside its socket and its model: the option that names the descriptor.
std::vector<std::pair<std::string, int>> extras(const LinkOptions& options) {
  std::vector<std::pair<std::string, int>> out;
  if (options.prefix_fd >= 0) out.emplace_back("--prefixes", options.prefix_fd);
  if (options.adapter_fd >= 0) out.emplace_back("--adapters", options.adapter_fd);
  const int plugin = plugins::plugin_descriptor(options.engine.get());
  if (plugin >= 0) out.emplace_back("--engine", plugin);
  return out;
}

os::SpawnOptions spawn_options(const LinkOptions& options, int socket) {
  os::SpawnOptions spawn;
  spawn.executable = options.executable;
  spawn.environment = {"GGML_NO_BACKTRACE=1", "LANG=C.UTF-8"};
  spawn.inherit_output = false;  // what the gateway prints there, or a pipe after it, is not theirs
  spawn.descriptors.emplace_back(kSocketInChild, socket);
  int number = kSocketInChild;
  std::string models;
  for (const int fd : options.model_fds) {
    spawn.descriptors.emplace_back(++number, fd);
    models += (models.empty() ? "" : ",") + std::to_string(number);
  }
  spawn.arguments = {"aioss",    "worker", "--socket", std::to_string(kSocketInChild),
                     "--models", models};
  for (const auto& [option, fd] : extras(options)) {
    spawn.descriptors.emplace_back(++number, fd);
    spawn.arguments.push_back(option);
    spawn.arguments.push_back(std::to_string(number));
  }
  if (drives_gpus(options.configure.engine, options.configure.device)) start_for_gpus(spawn);
  return spawn;
}

Error violation(std::string what) {
  return {Code::kCorrupt, std::move(what)};
}

class ProcessPeer final : public WorkerPeer {
 public:
  ProcessPeer(os::Child child, os::Fd socket)
      : channel_(std::move(socket), ipc::kFrameFromWorkerBytesMax), child_(std::move(child)) {}

  int pid() const override { return child_.pid(); }
  Status send(ByteView frame) override { return channel_.send(frame); }
  Result<Bytes> receive() override { return channel_.receive(); }
  void shut_down() override { channel_.shut_down(); }
  // The lock is held for a look only, never for a wait: the runtime thread takes it for signals.
  Status send_signal(int signal) override {
    std::lock_guard lock(mutex_);
    return child_.send_signal(signal);
  }
  std::optional<os::ExitStatus> ended() override {
    std::lock_guard lock(mutex_);
    return child_.wait_for(std::chrono::milliseconds(0));
  }
  // Child's destructor waits for the process, if need be for ever. This one's does not: what has
  // not ended when its last owner goes is leaked on purpose, and init reaps it once we have ended.
  std::shared_ptr<os::Child> give_up() override {
    std::lock_guard lock(mutex_);
    return {new os::Child(std::move(child_)), [](os::Child* child) {
              if (child->wait_for(std::chrono::milliseconds(0))) delete child;
            }};
  }

 private:
  ipc::Channel channel_;
  std::mutex mutex_;
  os::Child child_;  // guarded by mutex_, but for its pid; nothing once it was given up
};

}  // namespace

Result<std::unique_ptr<WorkerLink>> WorkerLink::start(const LinkOptions& options,
                                                      OnEvent on_event) {
  AIOSS_TRY(auto sockets, os::socket_pair());
  auto child = os::Child::spawn(spawn_options(options, sockets.second.get()));
  if (!child) return std::move(child).error().with_context("cannot start a worker process");
  sockets.second.reset();  // so that the worker's end closes when the worker does
  std::unique_ptr<WorkerLink> link(new WorkerLink(
      options, std::make_unique<ProcessPeer>(std::move(*child), std::move(sockets.first)),
      std::move(on_event)));
  // The reader last: once it runs it tells of the end, which nobody waits for after an error here.
  WorkerLink* const raw = link.get();
  auto writer = os::Thread::start(options.thread_stack_bytes, [raw] { raw->write_loop(); });
  if (!writer) return std::move(writer).error().with_context("cannot talk to a worker process");
  link->writer_ = std::move(*writer);
  auto reader = os::Thread::start(options.thread_stack_bytes, [raw] { raw->read_loop(); });
  if (!reader) return std::move(reader).error().with_context("cannot talk to a worker process");
  link->reader_ = std::move(*reader);
  return link;
}

std::unique_ptr<WorkerLink> WorkerLink::by_hand(const LinkOptions& options,
                                                std::unique_ptr<WorkerPeer> peer,
                                                OnEvent on_event) {
  return std::unique_ptr<WorkerLink>(new WorkerLink(options, std::move(peer), std::move(on_event)));
}

WorkerLink::WorkerLink(const LinkOptions& options, std::unique_ptr<WorkerPeer> peer,
                       OnEvent on_event)
    : model_(options.model),
      number_(options.number),
      configure_(options.configure),
      exit_grace_(options.exit_grace),
      reap_max_(options.reap_max),
      on_event_(std::move(on_event)),
      peer_(std::move(peer)),
      pid_(peer_->pid()),
      outbox_(kFramesPerStream * options.streams_max + kOutboxSpare) {}

WorkerLink::~WorkerLink() {
  kill(gateway_stopping());
  reader_.join();
  outbox_.close();  // as the reader does at the end, if it was ever there
  writer_.join();
}

// ---- runtime thread -----------------------------------------------------------------------------

ipc::Stats WorkerLink::stats() const {
  std::lock_guard lock(mutex_);
  return stats_;
}

std::size_t WorkerLink::outstanding() const {
  std::lock_guard lock(mutex_);
  return requests_.size();
}

void WorkerLink::take_over_prefixes() {
  send(ipc::TakeOver{});
}

void WorkerLink::forget_prefixes() {
  send(ipc::Forget{});
}

void WorkerLink::probe() {
  {
    std::lock_guard lock(mutex_);
    ++probes_outstanding_;
  }
  send(ipc::Probe{});
}

void WorkerLink::load_adapter(const ipc::LoadAdapter& wanted) {
  {
    std::lock_guard lock(mutex_);
    ASSERT(!adapter_outstanding_);
    adapter_outstanding_ = wanted.adapter;
  }
  send(wanted);
}

void WorkerLink::unload_adapter(const ipc::UnloadAdapter& unwanted) {
  {
    std::lock_guard lock(mutex_);
    ASSERT(!adapter_outstanding_);
    adapter_outstanding_ = unwanted.adapter;
  }
  send(unwanted);
}

void WorkerLink::park() {
  ASSERT(phase_.load() == Phase::kServing && outstanding() == 0);
  phase_.store(Phase::kParking);
  send(ipc::Park{});
}

void WorkerLink::wake(const ipc::Configure& session) {
  ASSERT(phase_.load() == Phase::kParked);
  ASSERT(session.engine == configure_.engine && session.profile == configure_.profile);
  configure_ = session;  // which the reader looks at once it is told of this phase
  phase_.store(Phase::kWaking);
  send(ipc::Wake{session});
}

void WorkerLink::stop(Error why) {
  remember_reason(std::move(why));
  send(ipc::Shutdown{});
}

void WorkerLink::terminate() {
  send_signal(SIGTERM);
}

void WorkerLink::kill(Error why, Streams streams) {
  remember_reason(std::move(why));
  if (streams == Streams::kEnd) {
    std::lock_guard lock(mutex_);
    streams_end_ = true;
  }
  send_signal(SIGKILL);
  // Not left to the kernel: a process in uninterruptible sleep dies later, its streams must not
  // wait.
  peer_->shut_down();
}

std::optional<Error> WorkerLink::check_health() {
  std::optional<std::uint64_t> nonce;
  {
    std::lock_guard lock(mutex_);
    for (auto& [id, entry] : requests_) {
      if (entry.cancel_seconds > 0 && ++entry.cancel_seconds > kCancelChecksMax) {
        return Error{Code::kWorkerDied, "the worker did not stop a cancelled request"};
      }
    }
    // Not at its first word: after both were stopped for minutes, the call ends in a moment.
    if (hanging_pongs_ > kSilentChecksMax) {
      return Error{Code::kWorkerDied,
                   "the engine has not come back from a call for minutes; its process is ended"};
    }
    if (ping_outstanding_) {
      if (++silent_seconds_ <= kSilentChecksMax) return std::nullopt;
      return Error{Code::kWorkerDied,
                   "the worker has not answered for " + std::to_string(kSilentChecksMax) + " s"};
    }
    silent_seconds_ = 0;
    ping_outstanding_ = nonce = ++ping_nonce_;
  }
  send(ipc::Ping{*nonce});
  return std::nullopt;
}

bool WorkerLink::ping_outstanding() const {
  std::lock_guard lock(mutex_);
  return ping_outstanding_.has_value();
}

void WorkerLink::send(const ipc::ToWorker& message) {
  // The outbox holds a request and a cancel of every stream there can be, so it is full only if the
  // worker reads nothing; then it does not matter what is lost, for it is going to be killed.
  if (outbox_.try_push(ipc::encode(message)) == BoundedQueue<Bytes>::Push::kFull) {
    kill({Code::kWorkerDied, "the worker does not read its messages"});
  }
}

void WorkerLink::send_signal(int signal) {
  // It may have ended by itself in the meantime.
  if (const Status sent = peer_->send_signal(signal); !sent) {
    log::debug("a signal did not reach a worker", {{"reason", sent.error().message}});
  }
}

void WorkerLink::remember_reason(Error why) {
  std::lock_guard lock(mutex_);
  if (!reason_) reason_ = std::move(why);
}

// ---- writer's thread ----------------------------------------------------------------------------

void WorkerLink::write_loop() {
  os::set_thread_name("send-" + std::to_string(number_));
  while (!outbox_.closed() || outbox_.size() > 0) {
    const std::optional<Bytes> frame = outbox_.pop_for(kOutboxWait);
    if (!frame) continue;
    if (!peer_->send(*frame)) break;  // the reader sees the same end and knows why
  }
}

void WorkerLink::flush() {
  while (const std::optional<Bytes> frame = outbox_.try_pop()) {
    if (!peer_->send(*frame)) return;
  }
}

// ---- reader's thread ----------------------------------------------------------------------------

void WorkerLink::read_loop() {
  os::set_thread_name("link-" + std::to_string(number_));
  const Error found = read_frames();
  lose(found);
  tell_end(found, reap());
}

Error WorkerLink::read_frames() {
  for (;;) {
    if (std::optional<Error> found = read_frame()) return std::move(*found);
  }
}

std::optional<Error> WorkerLink::read_frame() {
  Result<Bytes> frame = peer_->receive();
  if (!frame) {
    if (frame.error().code == Code::kWorkerDied) return std::move(frame).error();
    return std::move(frame).error().with_context("the worker broke the protocol");
  }
  Result<ipc::FromWorker> message = ipc::decode_from_worker(*frame);
  if (!message) return std::move(message).error().with_context("the worker broke the protocol");
  if (Status handled = handle(std::move(*message)); !handled) {
    if (handled.error().code != Code::kCorrupt) return std::move(handled).error();
    return std::move(handled).error().with_context("the worker broke the protocol");
  }
  return std::nullopt;
}

void WorkerLink::step() {
  if (end_told_) return;
  if (!found_) {
    found_ = read_frame();
    if (found_) lose(*found_);
  } else if (const auto exit = peer_->ended()) {
    end_told_ = true;
    tell_end(*found_, exit);
  }
}

bool WorkerLink::is_in_time(const ipc::FromWorker& message) const {
  const bool hello = std::holds_alternative<ipc::Hello>(message);
  const bool progress = std::holds_alternative<ipc::LoadProgress>(message);
  const bool loaded = std::holds_alternative<ipc::Ready>(message) ||
                      std::holds_alternative<ipc::LoadFailed>(message);
  const bool parked = std::holds_alternative<ipc::Parked>(message);
  const bool answer = std::holds_alternative<ipc::Pong>(message) ||
                      std::holds_alternative<ipc::ProbeReport>(message);
  switch (phase_.load()) {
    case Phase::kHello:
      return hello;
    case Phase::kLoading:
      return progress || loaded;
    case Phase::kServing:
      return !hello && !progress && !loaded && !parked;
    case Phase::kParking:  // it may not have heard of it
      return !hello && !progress && !loaded;
    case Phase::kParked:
      return answer;
    case Phase::kWaking:
      return answer || loaded;
  }
  return false;
}

Status WorkerLink::handle(ipc::FromWorker message) {
  if (phase_.load() == Phase::kHello && !is_in_time(message)) {
    return violation("its greeting is not its first word");
  }
  if (!is_in_time(message)) return violation("a message came before or after its time");
  return std::visit([this](auto& m) { return on(m); }, message);
}

Status WorkerLink::on(ipc::Hello& message) {
  if (message.protocol_version != ipc::kProtocolVersion) {
    return Error{Code::kUnsupported, "the worker speaks protocol " +
                                         std::to_string(message.protocol_version) +
                                         ", this gateway " + std::to_string(ipc::kProtocolVersion) +
                                         "; use one aioss for both"};
  }
  phase_.store(Phase::kLoading);
  on_event_(std::move(message));
  send(configure_);
  return ok();
}

Status WorkerLink::on(ipc::LoadProgress& message) {
  load_fraction_.store(message.fraction, std::memory_order_relaxed);
  return ok();
}

Status WorkerLink::on(ipc::Ready& message) {
  if (message.profile != configure_.profile || message.engine.name != configure_.engine) {
    return violation("it loaded with another profile or engine than was asked for");
  }
  const auto more = [](std::uint32_t got, std::uint32_t asked) { return asked > 0 && got > asked; };
  if (more(message.cells_per_stream, configure_.cells_per_stream) ||
      more(message.streams, configure_.streams)) {
    return violation("it loaded with more context or streams than were asked for");
  }
  phase_.store(Phase::kServing);
  load_fraction_.store(1, std::memory_order_relaxed);
  on_event_(std::move(message));
  return ok();
}

Status WorkerLink::on(ipc::LoadFailed& message) {
  Error error = message.error;
  on_event_(std::move(message));
  return error.code == Code::kCorrupt ? Error{Code::kModelCorrupt, error.message} : error;
}

Result<std::shared_ptr<StreamState>> WorkerLink::stream_of(ipc::RequestId id) const {
  std::lock_guard lock(mutex_);
  const auto found = requests_.find(id);
  if (found == requests_.end()) return violation("it speaks of a request that it does not have");
  return found->second.stream;
}

void WorkerLink::forget(ipc::RequestId id) {
  std::lock_guard lock(mutex_);
  requests_.erase(id);
}

Status WorkerLink::on(ipc::Accepted& message) {
  std::lock_guard turn(handing_on_);
  AIOSS_TRY(const auto stream, stream_of(message.id));
  return stream ? stream->accepted(message) : ok();
}

Status WorkerLink::on(ipc::Rejected& message) {
  std::lock_guard turn(handing_on_);
  const ipc::RequestId id = message.id;
  AIOSS_TRY(const auto stream, stream_of(id));
  if (stream) {
    AIOSS_CHECK(stream->rejected(std::move(message)));  // if it breaks a rule, end() must find it
  }
  forget(id);
  return ok();
}

Status WorkerLink::on(ipc::Delta& message) {
  std::lock_guard turn(handing_on_);
  AIOSS_TRY(const auto stream, stream_of(message.id));
  if (!stream) return ok();
  return stream->delta(std::move(message));
}

Status WorkerLink::on(ipc::Finished& message) {
  const ipc::RequestId id = message.id;
  std::lock_guard turn(handing_on_);
  AIOSS_TRY(const auto stream, stream_of(id));
  if (!stream) {
    forget_choice(id);
    return ok();
  }
  AIOSS_TRY(const bool last, stream->finished(std::move(message)));
  if (last) forget(id);
  return ok();
}

Status WorkerLink::on(ipc::Stats& message) {
  std::lock_guard lock(mutex_);
  stats_ = message;
  return ok();
}

Status WorkerLink::on(ipc::Pong& message) {
  std::lock_guard lock(mutex_);
  if (ping_outstanding_ != message.nonce) return violation("it answered a ping that was not sent");
  ping_outstanding_.reset();
  hanging_pongs_ = message.engine_hangs ? hanging_pongs_ + 1 : 0;
  return ok();
}

Status WorkerLink::on(ipc::Parked& message) {
  phase_.store(Phase::kParked);
  on_event_(message);
  return ok();
}

Status WorkerLink::on(ipc::ProbeReport& message) {
  {
    std::lock_guard lock(mutex_);
    if (probes_outstanding_ == 0) return violation("it reported a probe that was not asked for");
    --probes_outstanding_;
  }
  on_event_(std::move(message));
  return ok();
}

Status WorkerLink::on(ipc::AdapterReport& message) {
  {
    std::lock_guard lock(mutex_);
    if (adapter_outstanding_ != message.adapter) {
      return violation("it speaks of an adapter that it was not asked about");
    }
    adapter_outstanding_.reset();
  }
  on_event_(std::move(message));
  return ok();
}

// The socket is closed: a healthy worker ends by itself, whatever it does.
std::optional<os::ExitStatus> WorkerLink::reap() {
  const auto patience = exit_grace_ + reap_max_;
  for (std::chrono::milliseconds waited(0); waited <= patience; waited += kReapStep) {
    if (const auto status = peer_->ended()) return status;
    if (waited >= exit_grace_) {
      remember_reason({Code::kWorkerDied, "the worker did not end after its conversation had"});
      send_signal(SIGKILL);
    }
    std::this_thread::sleep_for(kReapStep);
  }
  return std::nullopt;
}

// From here on admit() refuses, so that no request reaches a worker that is gone.
std::vector<std::shared_ptr<StreamState>> WorkerLink::take_requests() {
  std::lock_guard lock(mutex_);
  ended_ = true;
  std::vector<std::shared_ptr<StreamState>> streams;
  for (auto& [id, entry] : requests_) {
    if (entry.stream) streams.push_back(std::move(entry.stream));
  }
  requests_.clear();
  return streams;
}

// Why it ended: what was remembered first, else what the reader found. `status` may be "".
Error WorkerLink::reason_of_end(const Error& found, const std::string& status) const {
  std::lock_guard lock(mutex_);
  if (reason_) return *reason_;
  if (found.code != Code::kWorkerDied) return found;
  return {Code::kWorkerDied, "the worker of model '" + model_ + "' ended unexpectedly" +
                                 (status.empty() ? "" : " (" + status + ")")};
}

// The requests come first: how long the process takes to be gone is no concern of theirs.
void WorkerLink::lose(const Error& found) {
  peer_->shut_down();
  outbox_.close();
  const Error why = reason_of_end(found, "");
  const bool stops = why.code == Code::kShuttingDown;
  const Error told = stops ? why : Error{Code::kWorkerDied, why.message + "; try again"};
  LinkLost lost;
  auto streams = take_requests();
  std::sort(streams.begin(), streams.end(),
            [](const auto& a, const auto& b) { return a->id() < b->id(); });
  for (auto& stream : streams) {
    if (may_go_on(why) && stream->interrupted()) {
      lost.survivors.push_back(std::move(stream));
    } else {
      stream->abort(told);
    }
  }
  on_event_(std::move(lost));
  if (found.code != Code::kWorkerDied) send_signal(SIGKILL);
}

void WorkerLink::tell_end(const Error& found, const std::optional<os::ExitStatus>& exit) {
  if (!exit) log::error("a worker's process does not end", {{"model", model_}, {"pid", pid_}});
  const std::string status = exit ? exit->describe() : "not reaped";
  on_event_(LinkEnded{reason_of_end(found, status), status,
                      exit && exit->signaled ? exit->value : 0, !was_killed_by_others(found, exit),
                      exit ? nullptr : peer_->give_up()});
}

bool WorkerLink::may_go_on(const Error& why) const {
  std::lock_guard lock(mutex_);
  return why.code != Code::kShuttingDown && !streams_end_;
}

// By the kernel that needs memory, or by an operator: no request is to blame.
bool WorkerLink::was_killed_by_others(const Error& found,
                                      const std::optional<os::ExitStatus>& exit) const {
  std::lock_guard lock(mutex_);
  return !reason_ && found.code == Code::kWorkerDied && exit && exit->signaled &&
         (exit->value == SIGKILL || exit->value == SIGTERM);
}

}  // namespace aioss::runtime
