#include "worker/service.h"

#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <thread>
#include <utility>

#include "os/sandbox.h"
#include "os/thread.h"

namespace aioss::worker {
namespace {

constexpr std::size_t kTextJobsSpare = 16;  // being tokenized while the queue is full
constexpr std::size_t kTextBytesMax = std::size_t{64} << 20;  // 16 prompts of the largest size
// Cancels of everything that can be in the worker, once more for good measure.
constexpr std::size_t kCommandsSpare = 64;
constexpr std::chrono::milliseconds kIdleWait{500};

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

Service::Service(ipc::Channel& channel, engine::Session& session, const engine::TextModel& text,
                 const Vocabulary& vocabulary, const SchedulerOptions& options, const Clock& clock,
                 AbortBoard& board)
    : channel_(channel),
      text_(text),
      clock_(clock),
      board_(board),
      scheduler_(session, vocabulary, options, clock, board, *this),
      text_jobs_(options.queue_requests_max + options.streams + kTextJobsSpare),
      commands_(2 * std::size_t{options.queue_requests_max} + options.streams + kCommandsSpare) {}

WorkerExit Service::run() {
  std::thread engine([this] { guarded("engine", &Service::engine_loop); });
  std::thread text([this] { guarded("text", &Service::text_loop); });
  const WorkerExit exit = read_commands();
  // The channel is done, whichever side ended it: nothing that is still computed can be told.
  board_.stop();
  channel_.shut_down();
  text_jobs_.close();
  commands_.close();
  text.join();
  engine.join();
  return engine_broken_.load() ? WorkerExit::kEngineFailed : exit;
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
    Result<ipc::ToWorker> command = ipc::decode_to_worker(*frame);
    if (!command) {
      std::fprintf(stderr, "aioss worker: %s\n", command.error().message.c_str());
      return WorkerExit::kProtocol;
    }
    if (auto* submit = std::get_if<ipc::Submit>(&*command)) {
      handle(std::move(*submit));
    } else if (const auto* cancel = std::get_if<ipc::Cancel>(&*command)) {
      handle(*cancel);
    } else if (const auto* ping = std::get_if<ipc::Ping>(&*command)) {
      send(ipc::Pong{ping->nonce});
    } else if (std::holds_alternative<ipc::Probe>(*command)) {
      report_probe();
    } else if (std::holds_alternative<ipc::Shutdown>(*command)) {
      return WorkerExit::kOk;
    } else {
      return WorkerExit::kProtocol;  // a second Configure
    }
  }
}

void Service::handle(ipc::Submit submit) {
  const ipc::RequestId id = submit.id;
  {
    std::lock_guard lock(preparing_mutex_);
    preparing_.emplace(id, false);
  }
  const std::size_t bytes = bytes_of(submit.prompt);
  if (text_bytes_.fetch_add(bytes) + bytes <= kTextBytesMax &&
      text_jobs_.try_push({std::move(submit), clock_.monotonic_ns(), bytes})) {
    return;
  }
  text_bytes_.fetch_sub(bytes);
  {
    std::lock_guard lock(preparing_mutex_);
    preparing_.erase(id);
  }
  send(ipc::Rejected{
      id, {Code::kBusy, "too many requests are waiting for this model; try again later"}});
}

void Service::handle(const ipc::Cancel& cancel) {
  {
    std::lock_guard lock(preparing_mutex_);
    const auto found = preparing_.find(cancel.id);
    if (found != preparing_.end()) {
      found->second = true;  // the text thread answers
      return;
    }
  }
  board_.cancel(cancel.id);
  (void)commands_.push(cancel);
}

void Service::report_probe() {
  ipc::ProbeReport report;
  for (const os::ProbeOutcome& outcome : os::probe_confinement()) {
    report.items.push_back({outcome.attempt, outcome.refused, outcome.detail});
  }
  send(std::move(report));
}

// ---- text

void Service::text_loop() {
  while (!text_jobs_.finished() && !board_.stopping()) {
    for (TextJob& job : text_jobs_.take_all(kIdleWait)) {
      if (board_.stopping()) return;
      prepare(std::move(job));
    }
  }
}

Result<std::vector<Token>> Service::tokens_of(const ipc::Prompt& prompt,
                                              std::int64_t now_unix_s) const {
  if (const auto* tokens = std::get_if<std::vector<Token>>(&prompt)) return *tokens;
  if (const auto* text = std::get_if<std::string>(&prompt)) {
    return text_.tokenize(*text, /*add_special=*/true, /*parse_special=*/false);
  }
  return text_.apply_chat_template(to_engine(std::get<std::vector<ipc::ChatMessage>>(prompt)),
                                   now_unix_s);
}

bool Service::cancelled_before(ipc::RequestId id) {
  std::lock_guard lock(preparing_mutex_);
  const auto found = preparing_.find(id);
  return found != preparing_.end() && found->second;
}

void Service::prepare(TextJob job) {
  const ipc::RequestId id = job.submit.id;
  // A client that left while this waited costs no tokenizing.
  Result<std::vector<Token>> tokens = cancelled_before(id)
                                          ? Result<std::vector<Token>>(std::vector<Token>())
                                          : tokens_of(job.submit.prompt, job.submit.now_unix_s);
  const bool chat = std::holds_alternative<std::vector<ipc::ChatMessage>>(job.submit.prompt);
  job.submit.prompt = std::string();  // tokens from here on
  text_bytes_.fetch_sub(job.bytes);
  // A cancel that comes later goes the way of the engine, behind the request.
  std::lock_guard lock(preparing_mutex_);
  const auto found = preparing_.find(id);
  const bool cancelled = found != preparing_.end() && found->second;
  if (found != preparing_.end()) preparing_.erase(found);
  if (cancelled) {
    send(ipc::Rejected{id, {Code::kCancelled, "the request was cancelled before it began"}});
  } else if (!tokens) {
    send(ipc::Rejected{id, std::move(tokens).error()});
  } else {
    (void)commands_.push(
        PreparedRequest{std::move(job.submit), std::move(*tokens), job.received_ns, chat});
  }
}

// ---- engine

void Service::engine_loop() {
  run_engine();
  send_step();
  channel_.shut_down();  // which ends the reader
}

void Service::run_engine() {
  while (!board_.stopping()) {
    const bool idle = !scheduler_.busy();
    for (EngineCommand& command :
         commands_.take_all(idle ? kIdleWait : std::chrono::milliseconds(0))) {
      if (auto* prepared = std::get_if<PreparedRequest>(&command)) {
        scheduler_.submit(std::move(*prepared));
      } else {
        scheduler_.cancel(std::get<ipc::Cancel>(command).id);
      }
    }
    if (commands_.finished()) return;
    const Status status = scheduler_.step();
    send_step();
    if (status) continue;
    if (!board_.stopping()) {
      std::fprintf(stderr, "aioss worker: %s\n", status.error().message.c_str());
      engine_broken_.store(true);
    }
    return;
  }
}

// ---- events

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
