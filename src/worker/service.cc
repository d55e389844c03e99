#include "worker/service.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <deque>
#include <exception>
#include <new>
#include <string>
#include <utility>

#include "base/assert.h"
#include "ipc/limits.h"
#include "os/sandbox.h"
#include "os/thread.h"

namespace aioss::worker {
namespace {

constexpr std::size_t kTextBytesMax = std::size_t{64} << 20;  // 16 prompts of the largest size
// A prompt of more bytes may have made the text thread's stack large: its memory is given back.
constexpr std::size_t kStackWorthItBytes = std::size_t{64} << 10;
// Between two looks of the engine thread: each request that the worker has, its cancel and its
// credit, and the cancels and credits of as many that have ended meanwhile. Two more say that
// prefixes are to be taken over and to be forgotten, and one is about an adapter.
constexpr std::size_t kCommandsPerRequest = 5;
constexpr std::size_t kCommandsBeside = 3;
constexpr std::chrono::milliseconds kIdleWait{500};

// What the scheduler holds, and as many on their way to it.
std::size_t requests_max_of(const SchedulerOptions& options) {
  return 2 * (std::size_t{options.queue_requests_max} + options.streams);
}

std::vector<engine::ChatMessage> to_engine(const std::vector<ipc::ChatMessage>& messages) {
  std::vector<engine::ChatMessage> out;
  out.reserve(messages.size());
  for (const ipc::ChatMessage& m : messages) out.push_back({m.role, m.content, m.name});
  return out;
}

std::size_t bytes_of(const ipc::Prompt& prompt) {
  if (const auto* text = std::get_if<std::string>(&prompt)) return text->size();
  if (const auto* tokens = std::get_if<std::vector<Token>>(&prompt)) {
    return tokens->size() * sizeof(Token);
  }
  std::size_t bytes = 0;
  for (const ipc::ChatMessage& m : std::get<std::vector<ipc::ChatMessage>>(prompt)) {
    bytes += sizeof m + m.role.size() + m.content.size() + m.name.size();
  }
  return bytes;
}

}  // namespace

ipc::ProbeReport probe_report() {
  ipc::ProbeReport report;
  for (const os::ProbeOutcome& outcome : os::probe_confinement()) {
    report.items.push_back({outcome.attempt, outcome.refused, outcome.detail});
  }
  return report;
}

Service::Service(ipc::Channel& channel, engine::Session& session, const engine::TextModel& text,
                 const Vocabulary& vocabulary, const SchedulerOptions& options, const Clock& clock,
                 AbortBoard& board, std::unique_ptr<PrefixCache> prefixes,
                 std::unique_ptr<AdapterShelf> adapters)
    : channel_(channel),
      text_(text),
      clock_(clock),
      board_(board),
      scheduler_(session, vocabulary, options, clock, board, *this, std::move(prefixes),
                 std::move(adapters)),
      bounds_(options.cells_per_stream, vocabulary.token_bytes_max()),
      requests_max_(requests_max_of(options)),
      text_jobs_(requests_max_),
      commands_(kCommandsPerRequest * requests_max_ + kCommandsBeside) {}

WorkerExit Service::run() {
  os::Thread text, engine;
  WorkerExit exit = WorkerExit::kInternal;
  try {
    const Result<WorkerExit> served = serve(text, engine);
    if (served) exit = *served;
    if (!served) std::fprintf(stderr, "aioss worker: %s\n", served.error().message.c_str());
  } catch (const std::exception& e) {
    std::fprintf(stderr, "aioss worker: thread reader: %s\n", e.what());
  }
  // The channel is done, whichever side ended it: nothing that is still computed can be told. Who
  // is parked has nothing to compute, and more to say.
  if (!parks_.load()) {
    board_.stop();
    channel_.shut_down();
  }
  text_jobs_.close();
  commands_.close();
  text.join();
  engine.join();
  return engine_broken_.load() ? WorkerExit::kEngineFailed : exit;
}

Result<WorkerExit> Service::serve(os::Thread& text, os::Thread& engine) {
  AIOSS_TRY(text, start_text());
  AIOSS_TRY(engine, os::Thread::start(os::Thread::kSystemsStack,
                                      [this] { guarded("engine", &Service::engine_loop); }));
  return read_commands();
}

// The stack's addresses may not all be there to be had (overcommit, limits): then a smaller one,
// and less in one piece.
Result<os::Thread> Service::start_text() {
  for (std::size_t bytes = bounds_.stack_bytes();; bytes /= 2) {
    bounds_.set_stack_bytes(bytes);
    Result<os::Thread> thread =
        os::Thread::start(bytes, [this] { guarded("text", &Service::text_loop); });
    if (thread || bytes / 2 < kTextStackBytesMin) return thread;
  }
}

// No exception leaves a thread. What it leaves behind is not trusted: the process ends.
void Service::guarded(const char* thread, void (Service::*body)()) {
  os::set_thread_name(thread);
  try {
    (this->*body)();
    return;
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "aioss worker: out of memory in thread %s\n", thread);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "aioss worker: thread %s: %s\n", thread, e.what());
  }
  engine_broken_.store(true);
  board_.stop();
  channel_.shut_down();
}

// ---- reader

WorkerExit Service::read_commands() {
  for (;;) {
    const Result<Bytes> frame = channel_.receive();
    if (!frame) {
      return frame.error().code == Code::kCorrupt ? WorkerExit::kProtocol : WorkerExit::kOk;
    }
    if (const auto exit = take_frame(*frame)) return *exit;
  }
}

std::optional<WorkerExit> Service::take_frame(ByteView frame) {
  Result<ipc::ToWorker> command = ipc::decode_to_worker(frame);
  if (!command) {
    std::fprintf(stderr, "aioss worker: %s\n", command.error().message.c_str());
    return WorkerExit::kProtocol;
  }
  if (auto* submit = std::get_if<ipc::Submit>(&*command)) {
    const ipc::RequestId id = submit->id;
    if (auto error = take(std::move(*submit))) send(ipc::Rejected{id, std::move(*error)});
  } else if (const auto* cancel = std::get_if<ipc::Cancel>(&*command)) {
    handle(*cancel);
  } else if (const auto* credit = std::get_if<ipc::Credit>(&*command)) {
    handle(*credit);
  } else if (std::holds_alternative<ipc::TakeOver>(*command)) {
    if (!take_over_prefixes()) return WorkerExit::kProtocol;
  } else if (std::holds_alternative<ipc::Forget>(*command)) {
    forget_prefixes();
  } else if (const auto* adapter = std::get_if<ipc::LoadAdapter>(&*command)) {
    if (!order(*adapter)) return WorkerExit::kProtocol;
  } else if (const auto* unwanted = std::get_if<ipc::UnloadAdapter>(&*command)) {
    if (!order(*unwanted)) return WorkerExit::kProtocol;
  } else if (const auto* ping = std::get_if<ipc::Ping>(&*command)) {
    send(ipc::Pong{ping->nonce, scheduler_.watch().is_overdue(clock_.monotonic_ns())});
  } else if (std::holds_alternative<ipc::Probe>(*command)) {
    send(probe_report());
  } else if (std::holds_alternative<ipc::Park>(*command)) {
    return park();
  } else if (std::holds_alternative<ipc::Shutdown>(*command)) {
    return WorkerExit::kOk;
  } else {
    return WorkerExit::kProtocol;  // a second Configure, or nobody is parked here
  }
  return std::nullopt;
}

WorkerExit Service::park() {
  std::lock_guard lock(requests_mutex_);
  if (!requests_.empty()) return WorkerExit::kProtocol;
  parks_.store(true);
  return WorkerExit::kOk;
}

// Of a request that came now, as the engine thread saw it about a second ago.
std::optional<std::uint32_t> Service::wait() const {
  const std::uint32_t seconds = wait_seconds_.load(std::memory_order_relaxed);
  if (seconds == kWaitUnknown) return std::nullopt;
  return seconds;
}

std::optional<Error> Service::take(ipc::Submit submit) {
  const ipc::RequestId id = submit.id;
  const Error busy{Code::kBusy, "too many requests are waiting for this model; try again later"};
  {
    std::lock_guard lock(requests_mutex_);
    if (requests_.contains(id)) {
      return Error{Code::kInvalidArgument, "a request with this id is running"};
    }
    if (requests_.size() >= requests_max_) {
      return Error(busy).with_backlog({static_cast<std::uint32_t>(requests_.size()), wait()});
    }
    requests_.emplace(id, Known{Stage::kPreparing, ipc::open_choices(submit)});
    board_.begin(id);
  }
  const std::size_t bytes = bytes_of(submit.prompt);
  const bool resumed = !submit.resume.empty();  // it had been taken: the gateway bounds them all
  if ((text_bytes_.fetch_add(bytes) + bytes <= kTextBytesMax || resumed) &&
      text_jobs_.try_push({std::move(submit), clock_.monotonic_ns(), bytes})) {
    return std::nullopt;
  }
  text_bytes_.fetch_sub(bytes);
  forget(id);
  return busy;
}

void Service::handle(const ipc::Cancel& cancel) {
  std::lock_guard lock(requests_mutex_);
  const auto found = requests_.find(cancel.id);
  if (found == requests_.end()) return;  // it crossed the last event
  Stage& stage = found->second.stage;
  if (stage == Stage::kPreparing) stage = Stage::kCancelled;  // the text thread answers
  if (stage != Stage::kEngine) return;
  stage = Stage::kCancelSent;
  board_.cancel(cancel.id);
  commands_.put(cancel);
}

bool Service::take_over_prefixes() {
  if (!std::exchange(take_over_due_, false)) return false;
  commands_.put(ipc::TakeOver{});
  return true;
}

bool Service::order(EngineCommand about_an_adapter) {
  if (adapter_ordered_.exchange(true)) return false;
  commands_.put(std::move(about_an_adapter));
  return true;
}

// What the text thread has goes to the engine later than this.
void Service::forget_prefixes() {
  std::lock_guard lock(requests_mutex_);
  for (auto& [id, known] : requests_) known.leaves_prefix = false;
  if (!forgets_.exchange(true)) commands_.put(ipc::Forget{});
}

// One command for all credit that comes until the engine thread looks.
void Service::handle(const ipc::Credit& credit) {
  std::lock_guard lock(requests_mutex_);
  const auto found = requests_.find(credit.id);
  if (found == requests_.end()) return;  // it crossed the last event
  std::uint64_t& waiting = found->second.credit_bytes;
  const bool announced = waiting > 0;
  waiting = std::min(waiting + credit.bytes, ipc::kCreditBytesMax);
  // Of one that is not with the engine yet, the text thread passes it on with the request.
  if (!announced && found->second.stage == Stage::kEngine) commands_.put(credit);
}

std::uint64_t Service::take_credit(ipc::RequestId id) {
  std::lock_guard lock(requests_mutex_);
  const auto found = requests_.find(id);
  return found == requests_.end() ? 0 : std::exchange(found->second.credit_bytes, 0);
}

// ---- text

void Service::text_loop() {
  while (!text_jobs_.finished() && !board_.stopping()) text_turn(kIdleWait);
}

void Service::text_turn(std::chrono::milliseconds patience) {
  for (TextJob& job : text_jobs_.take_all(patience)) {
    if (board_.stopping()) return;
    const std::size_t bytes = job.bytes;
    prepare(std::move(job));
    if (bytes >= kStackWorthItBytes) os::release_unused_stack();
  }
}

Result<std::vector<Token>> Service::tokens_of(const ipc::Prompt& prompt,
                                              std::int64_t now_unix_s) const {
  if (const auto* tokens = std::get_if<std::vector<Token>>(&prompt)) return *tokens;
  if (const auto* text = std::get_if<std::string>(&prompt)) {
    AIOSS_CHECK(bounds_.check(*text, "prompt"));
    return text_.tokenize(*text, /*add_special=*/true, /*parse_special=*/false);
  }
  // What the template leaves of the messages counts, and what it adds.
  return text_.apply_chat_template(
      to_engine(std::get<std::vector<ipc::ChatMessage>>(prompt)), now_unix_s,
      [this](std::string_view text) { return bounds_.check(text, "messages"); });
}

bool Service::cancelled_before(ipc::RequestId id) {
  std::lock_guard lock(requests_mutex_);
  return requests_.at(id).stage == Stage::kCancelled;
}

void Service::prepare(TextJob job) {
  const ipc::RequestId id = job.submit.id;
  // A client that left while this waited costs no tokenizing.
  Result<std::vector<Token>> tokens = cancelled_before(id)
                                          ? Result<std::vector<Token>>(std::vector<Token>())
                                          : tokens_of(job.submit.prompt, job.submit.now_unix_s);
  const bool chat = std::holds_alternative<std::vector<ipc::ChatMessage>>(job.submit.prompt);
  job.submit.prompt.emplace<std::string>();  // tokens from here on
  text_bytes_.fetch_sub(job.bytes);
  std::optional<Error> refused;
  if (!tokens) {
    forget(id);
    refused = std::move(tokens).error();
  } else {
    refused = pass_on({std::move(job.submit), std::move(*tokens), job.received_ns, chat});
  }
  if (refused) send(ipc::Rejected{id, std::move(*refused)});
}

// Under the lock, so that a cancel that comes later goes the way of the engine, behind the request.
std::optional<Error> Service::pass_on(PreparedRequest prepared) {
  std::lock_guard lock(requests_mutex_);
  const auto known = requests_.find(prepared.submit.id);
  ASSERT(known != requests_.end());
  if (known->second.stage == Stage::kCancelled) {
    requests_.erase(known);
    return Error{Code::kCancelled, "the request was cancelled before it began"};
  }
  known->second.stage = Stage::kEngine;
  const ipc::RequestId id = prepared.submit.id;
  if (!known->second.leaves_prefix) prepared.submit.leaves_prefix = false;
  commands_.put(std::move(prepared));
  if (known->second.credit_bytes > 0) commands_.put(ipc::Credit{id, known->second.credit_bytes});
  return std::nullopt;
}

// ---- engine

void Service::engine_loop() {
  run_engine();
  if (is_parked()) settle();
  send_step();
  if (!is_parked()) channel_.shut_down();  // which ends the reader
}

// For commands, while there is nothing to compute: all requests may be waiting for credit.
std::chrono::milliseconds Service::patience() const {
  if (scheduler_.can_step()) return std::chrono::milliseconds(0);
  const auto idle =
      std::chrono::ceil<std::chrono::milliseconds>(std::chrono::nanoseconds(scheduler_.idle_ns()));
  return std::min(idle, kIdleWait);
}

void Service::run_engine() {
  while (!board_.stopping()) {
    if (!engine_turn(patience())) return;
  }
}

// What the last request has left is kept as a prefix, as if the worker went on.
void Service::settle() {
  while (scheduler_.can_step()) {
    if (scheduler_.step()) continue;
    engine_broken_.store(true);
    return;
  }
}

// Since the text thread passed it on: one Forget stands for all that come until it is looked at,
// and may stand before this request.
bool Service::is_to_be_forgotten(ipc::RequestId id) {
  std::lock_guard lock(requests_mutex_);
  const auto known = requests_.find(id);
  return known != requests_.end() && !known->second.leaves_prefix;
}

bool Service::engine_turn(std::chrono::milliseconds patience) {
  std::deque<EngineCommand> commands = commands_.take_all(patience);
  const TurnWatch::Turn turn(scheduler_.watch(), clock_.monotonic_ns());
  for (EngineCommand& command : commands) {
    if (auto* prepared = std::get_if<PreparedRequest>(&command)) {
      if (is_to_be_forgotten(prepared->submit.id)) prepared->submit.leaves_prefix = false;
      scheduler_.submit(std::move(*prepared));
    } else if (const auto* credit = std::get_if<ipc::Credit>(&command)) {
      const std::uint64_t bytes = take_credit(credit->id);
      if (bytes > 0) scheduler_.credit({credit->id, bytes});
    } else if (std::holds_alternative<ipc::TakeOver>(command)) {
      scheduler_.take_over_prefixes();
    } else if (std::holds_alternative<ipc::Forget>(command)) {
      forgets_.store(false);
      scheduler_.forget_prefixes();
    } else if (const auto* adapter = std::get_if<ipc::LoadAdapter>(&command)) {
      emit(scheduler_.load_adapter(*adapter));
    } else if (const auto* unwanted = std::get_if<ipc::UnloadAdapter>(&command)) {
      emit(scheduler_.unload_adapter(*unwanted));
    } else {
      scheduler_.cancel(std::get<ipc::Cancel>(command).id);
    }
  }
  if (commands_.finished()) return false;
  send_step();  // who was accepted, refused or cancelled does not wait for the engine's next call
  const Status status = scheduler_.step();
  send_step();
  if (status) return true;
  if (!board_.stopping()) {
    std::fprintf(stderr, "aioss worker: %s\n", status.error().message.c_str());
    engine_broken_.store(true);
  }
  return false;
}

// ---- events

void Service::emit(ipc::FromWorker event) {
  if (const auto* rejected = std::get_if<ipc::Rejected>(&event)) forget(rejected->id);
  if (const auto* finished = std::get_if<ipc::Finished>(&event)) choice_ended(finished->id);
  if (const auto* stats = std::get_if<ipc::Stats>(&event)) {
    wait_seconds_.store(stats->wait_seconds.value_or(kWaitUnknown), std::memory_order_relaxed);
  }
  if (std::holds_alternative<ipc::AdapterReport>(event)) adapter_ordered_.store(false);
  step_.push_back(ipc::encode(event));
}

void Service::forget(ipc::RequestId id) {
  std::lock_guard lock(requests_mutex_);
  requests_.erase(id);
}

void Service::choice_ended(ipc::RequestId id) {
  std::lock_guard lock(requests_mutex_);
  const auto known = requests_.find(id);
  ASSERT(known != requests_.end() && known->second.choices_open > 0);
  if (--known->second.choices_open == 0) requests_.erase(known);
}

void Service::send(const ipc::FromWorker& event) {
  const Bytes frame = ipc::encode(event);
  std::lock_guard lock(sending_mutex_);
  if (sending_) sent(channel_.send(frame));
}

void Service::send_step() {
  if (step_.empty()) return;
  std::lock_guard lock(sending_mutex_);
  if (sending_) sent(channel_.send_all(step_));
  step_.clear();
}

// With sending_mutex_ held. If the gateway is gone the reader learns the same.
void Service::sent(const Status& status) {
  if (status) return;
  sending_ = false;
  board_.stop();
}

}  // namespace aioss::worker
