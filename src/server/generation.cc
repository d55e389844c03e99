#include "server/generation.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <variant>

#include "base/clock.h"
#include "server/replies.h"
#include "server/resume_route.h"

namespace aioss::server {
namespace {

using api::openai::Endpoint;
using http::net::awaitable;
using namespace std::chrono_literals;

// A wake-up is never lost; this only bounds the damage if one ever were.
constexpr auto kWaitMax = 60s;
// How often who waits for a model, and wants to know, is told.
constexpr auto kProgressInterval = 500ms;

void give_up(runtime::Stream& stream, const http::ResponseWriter& writer) {
  if (!writer.client_stalled()) return stream.cancel();
  stream.give_up(Error(Code::kTimeout, "the client did not read its answer"));
}

}  // namespace

Generation::Generation(const GenerationContext& context, http::ResponseWriter& writer,
                       Endpoint endpoint, runtime::Principal principal, const Wishes& wishes)
    : context_(context),
      writer_(writer),
      principal_(std::move(principal)),
      wishes_(wishes),
      meter_(context.metrics, context.clock) {
  request_.endpoint = endpoint;
}

Generation::~Generation() {
  if (stream_ == nullptr) return;
  // Left early, by an error or an exception: nobody will read the rest. The gateway keeps the
  // stream until its records are written.
  if (meter_.outcome().empty()) {
    stream_->cancel();
    meter_.set_outcome(info(Code::kCancelled).name);
  }
  meter_.report();
}

awaitable<int> Generation::run(std::string body) {
  Status fit = read_body(std::move(body));
  if (!fit.has_value()) {
    context_.gateway.note_refusal(fit.error().code);
    Error error = std::move(fit).error();
    co_return co_await answer_error(std::move(error));
  }
  auto submitted = submit();
  if (!submitted.has_value()) {
    Error error = std::move(submitted).error();
    co_return co_await answer_error(std::move(error));
  }
  attach(std::move(*submitted));
  std::optional<Event> first = co_await first_event();
  if (!first.has_value()) co_return client_left();
  if (auto* failed = std::get_if<runtime::StreamFailed>(&*first)) {
    observe(*first);
    Error error = std::move(failed->error);
    if (begun_) co_return co_await fail_begun(std::move(error));
    co_return co_await answer_error(std::move(error));
  }
  const auto* started = std::get_if<runtime::StreamStarted>(&*first);
  if (started == nullptr) {
    Error error(Code::kInternal, "the answer does not begin with its beginning");
    if (begun_) co_return co_await fail_begun(std::move(error));
    co_return co_await answer_error(std::move(error));
  }
  started_ = *started;
  request_record_ = started->request_record;
  meter_.observe(*first);
  if (place_ != nullptr) co_return co_await kept_answer();
  if (request_.stream) co_return co_await stream_answer();
  co_return co_await whole_answer();
}

// Neither the body nor the prompt, up to 4 MiB each, stays here while the answer is made: they are
// moved into what ends with this call. (A string that is assigned an empty one keeps its memory.)
Status Generation::read_body(std::string body) {
  const bool chat = request_.endpoint == Endpoint::kChat;
  auto parsed = chat ? api::openai::parse_chat(body) : api::openai::parse_completion(body);
  if (!parsed.has_value()) return std::move(parsed).error();
  request_ = std::move(*parsed);
  request_.model = context_.gateway.resolve(request_.model);
  meter_.asks_for(request_.model, request_.submit.choices);
  if (wishes_.progress && !request_.stream) {
    return Error{Code::kInvalidArgument,
                 "the header '" + std::string(kProgressHeader) + "' needs \"stream\": true",
                 std::string(kProgressHeader)};
  }
  return wishes_.resume.has_value() ? take_place() : ok();
}

Status Generation::take_place() {
  if (!request_.stream) {
    return Error{Code::kInvalidArgument,
                 "the header '" + std::string(kResumeHeader) + "' needs \"stream\": true",
                 std::string(kResumeHeader)};
  }
  AIOSS_TRY(place_, context_.shelf.take_place(principal_.tenant));
  return ok();
}

Result<std::shared_ptr<runtime::Stream>> Generation::submit() {
  runtime::GenerateCall call;
  call.principal = principal_;
  call.model = request_.model;
  call.seed_given = request_.seed_given;
  call.streaming = request_.stream;
  const bool chat = request_.endpoint == Endpoint::kChat;
  call.endpoint = chat ? "/v1/chat/completions" : "/v1/completions";
  ipc::Prompt prompt = std::move(request_.submit.prompt);
  call.request = request_.submit;
  call.request.prompt = std::move(prompt);
  if (wishes_.priority.has_value()) call.request.priority = *wishes_.priority;
  call.request.deadline_ms = wishes_.deadline_ms;
  call.keep_alive = request_.keep_alive;
  call.load_wait = wishes_.load_wait;
  call.adapters = request_.adapters;
  call.request.now_unix_s = context_.clock.wall_ns() / kNsPerSecond;
  return context_.gateway.submit(std::move(call));
}

void Generation::attach(std::shared_ptr<runtime::Stream> stream) {
  stream_ = std::move(stream);
  event_ = http::AsyncEvent::create(context_.io);
  // Weak: the stream outlives this request, and may outlive the io context that the event needs.
  stream_->set_wake([event = std::weak_ptr(event_)] {
    if (const auto alive = event.lock()) alive->notify();
  });
  writer_.on_client_gone(
      [&writer = writer_, stream = std::weak_ptr(stream_), event = std::weak_ptr(event_)] {
        if (const auto alive = stream.lock()) give_up(*alive, writer);
        if (const auto alive = event.lock()) alive->notify();
      });
}

// Nothing if the client has left.
awaitable<std::optional<Generation::Event>> Generation::next_event() {
  while (!writer_.client_gone()) {
    std::optional<Event> event = stream_->try_next();
    if (event.has_value()) co_return event;
    co_await event_->wait(kWaitMax);
  }
  co_return std::nullopt;
}

// The same, and meanwhile it is told how far the load of its model is, if it wants to know.
awaitable<std::optional<Generation::Event>> Generation::first_event() {
  while (wishes_.progress && !writer_.client_gone()) {
    std::optional<Event> event = stream_->try_next();
    if (event.has_value()) co_return event;
    const bool woken = co_await event_->wait(kProgressInterval);
    if (woken) continue;
    const bool there = co_await show_progress();
    if (!there) co_return std::nullopt;
  }
  co_return co_await next_event();
}

// False if the client has left. The first time, the head goes before it: what happens from then on
// is told as of a stream that has begun.
awaitable<bool> Generation::show_progress() {
  const std::optional<ModelWait> wait = stream_->model_wait();
  const std::int64_t now = context_.clock.monotonic_ns();
  const std::int64_t ping_ns = std::chrono::nanoseconds(context_.ping_interval).count();
  std::string out;
  if (wait.has_value()) out = api::openai::progress_event(facts(), *wait);
  if (out.empty() || out == shown_) {
    if (!begun_ || now - shown_ns_ < ping_ns) co_return true;
    out = ": ping\n\n";
  } else {
    shown_ = out;
  }
  if (!begun_) {
    http::Headers head = stream_headers();
    const Status sent = co_await writer_.begin(200, std::move(head));
    if (!sent.has_value()) co_return false;
    begun_ = true;
  }
  shown_ns_ = now;
  const Status written = co_await writer_.write(std::move(out));
  co_return written.has_value();
}

// Its head said 200 already, so the error is the stream's last event.
awaitable<int> Generation::fail_begun(Error error) {
  if (meter_.outcome().empty()) stream_->cancel();
  meter_.set_outcome(info(error.code).name);
  api::openai::AnswerFacts about = facts();
  about.request_record = request_record_;
  api::openai::ChunkWriter chunks(std::move(about));
  std::string out;
  chunks.fail({std::move(error), abort_record_}, out);
  const Status written = co_await writer_.write(std::move(out));
  if (!written.has_value()) co_return client_left();
  const Status finished = co_await writer_.end();
  co_return finished.has_value() ? 200 : info(Code::kCancelled).http_status;
}

awaitable<int> Generation::answer_error(Error error) {
  if (stream_ != nullptr) {
    if (meter_.outcome().empty()) stream_->cancel();
    meter_.set_outcome(info(error.code).name);
  }
  http::Response response = error_response(error);
  // The time it was for is over. (Other timeouts, as of a body that came too slowly, may be
  // mended.)
  if (error.code == Code::kTimeout && wishes_.deadline_ms > 0) forbid_retry(response);
  if (stream_ != nullptr) {
    for (auto& header : headers()) response.headers.push_back(std::move(header));
    if (abort_record_.has_value())
      response.headers.emplace_back("X-Aioss-Abort-Record", std::to_string(*abort_record_));
  }
  const int status = response.status;
  const Status sent = co_await writer_.send(std::move(response));
  co_return sent.has_value() ? status : info(Code::kCancelled).http_status;
}

int Generation::client_left() {
  give_up(*stream_, writer_);
  const Code why = writer_.client_stalled() ? Code::kTimeout : Code::kCancelled;
  if (meter_.outcome().empty()) meter_.set_outcome(info(why).name);
  return info(Code::kCancelled).http_status;
}

awaitable<int> Generation::stream_answer() {
  if (!begun_) {
    http::Headers head = stream_headers();
    const Status begun = co_await writer_.begin(200, std::move(head));
    if (!begun.has_value()) co_return client_left();
  }
  const api::openai::AnswerFacts facts = this->facts();
  api::openai::ChunkWriter chunks(facts);
  std::string out;
  chunks.begin(out);
  while (true) {
    Rendered last = Rendered::kEvent;
    while (last == Rendered::kEvent && out.size() < kWriteBytesMax)
      last = render_next(*stream_, facts, meter_, chunks, out);
    const bool ended = last == Rendered::kLast;
    if (!out.empty()) {
      const Status written = co_await writer_.write(std::exchange(out, std::string()));
      if (!written.has_value()) co_return client_left();
    } else if (!ended) {
      const bool woken = co_await event_->wait(context_.ping_interval);
      if (!woken) out = ": ping\n\n";
    }
    if (ended) break;
    if (writer_.client_gone()) co_return client_left();
  }
  const Status finished = co_await writer_.end();
  co_return finished.has_value() ? 200 : info(Code::kCancelled).http_status;
}

// From here on the stream belongs to the answer, and this request is only its first reader.
awaitable<int> Generation::kept_answer() {
  http::Headers head = stream_headers();
  head.emplace_back(kResumeHeader, std::to_string(wishes_.resume->count()));
  api::openai::AnswerFacts facts = this->facts();
  KeptAnswer::Setup setup{context_.io,      context_.clock,  std::exchange(stream_, nullptr),
                          std::move(facts), meter_,          std::move(head),
                          principal_,       *wishes_.resume, std::move(place_)};
  const std::shared_ptr<KeptAnswer> answer = KeptAnswer::create(std::move(setup));
  context_.shelf.keep(answer);
  const ResumeContext context{context_.io, context_.shelf, context_.ping_interval};
  co_return co_await read_kept(context, answer, 0, writer_);
}

awaitable<int> Generation::whole_answer() {
  api::openai::AnswerWriter answer(facts());
  while (true) {
    std::optional<Event> event = co_await next_event();
    if (!event.has_value()) co_return client_left();
    std::optional<Error> wrong = check_choice(*event, request_.submit.choices);
    if (!wrong.has_value()) {
      observe(*event);
      if (const auto* delta = std::get_if<runtime::StreamDelta>(&*event)) {
        Status added = answer.add(*delta);
        if (!added.has_value()) wrong = std::move(added).error();
      } else if (const auto* end = std::get_if<runtime::ChoiceEnd>(&*event)) {
        answer.add(*end);
      } else if (auto* failed = std::get_if<runtime::StreamFailed>(&*event)) {
        wrong = std::move(failed->error);  // observe() has kept its records
      } else if (const auto* done = std::get_if<runtime::StreamDone>(&*event)) {
        http::Response response = json_response(200, answer.done(*done));
        for (auto& header : headers()) response.headers.push_back(std::move(header));
        response.headers.emplace_back("X-Aioss-Result-Record", std::to_string(done->result_record));
        const Status sent = co_await writer_.send(std::move(response));
        co_return sent.has_value() ? 200 : info(Code::kCancelled).http_status;
      }
    }
    if (wrong.has_value()) {
      Error error = std::move(*wrong);
      co_return co_await answer_error(std::move(error));
    }
  }
}

void Generation::observe(const Event& event) {
  meter_.observe(event);
  const auto* failed = std::get_if<runtime::StreamFailed>(&event);
  if (failed == nullptr) return;
  abort_record_ = failed->abort_record;
  if (failed->request_record.has_value()) request_record_ = failed->request_record;
}

api::openai::AnswerFacts Generation::facts() const {
  api::openai::AnswerFacts facts;
  facts.endpoint = request_.endpoint;
  facts.request_id = stream_->request_id();
  facts.model = request_.model;
  facts.created_unix_s = context_.clock.wall_ns() / kNsPerSecond;
  facts.profile = stream_->profile();
  facts.seed = stream_->seed();
  facts.request_record = started_.request_record;
  facts.choices = request_.submit.choices;
  facts.logprobs = request_.submit.logprobs;
  facts.include_usage = request_.include_usage;
  ipc::EngineFacts engine;
  for (auto& entry : context_.gateway.models()) {
    if (entry.name == request_.model && entry.facts.has_value()) engine = entry.facts->engine;
  }
  facts.fingerprint = api::openai::fingerprint(engine, facts.profile);
  return facts;
}

http::Headers Generation::headers() const {
  http::Headers headers{{"X-Aioss-Request-Id", stream_->request_id()},
                        {"X-Aioss-Profile", std::string(ipc::name(stream_->profile()))}};
  if (request_record_.has_value())
    headers.emplace_back("X-Aioss-Request-Record", std::to_string(*request_record_));
  return headers;
}

http::Headers Generation::stream_headers() const {
  http::Headers head = headers();
  head.emplace_back("Content-Type", "text/event-stream; charset=utf-8");
  head.emplace_back("Cache-Control", "no-store");
  head.emplace_back("X-Accel-Buffering", "no");
  return head;
}

}  // namespace aioss::server
