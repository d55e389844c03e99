#include "server/generation.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <variant>

#include "server/replies.h"

namespace aioss::server {
namespace {

using api::openai::Endpoint;
using http::net::awaitable;
using namespace std::chrono_literals;

constexpr std::int64_t kSecondNs = 1'000'000'000;
// Written at once to a client that is behind; also what one turn of the io thread may cost. Part of
// what can be on its way to a client that does not read: see kCreditBytes.
constexpr std::size_t kWriteBytesMax = 16 * 1024;
// A wake-up is never lost; this only bounds the damage if one ever were.
constexpr auto kWaitMax = 60s;

double seconds(std::int64_t nanoseconds) {
  return static_cast<double>(std::max<std::int64_t>(nanoseconds, 0)) /
         static_cast<double>(kSecondNs);
}

void give_up(runtime::Stream& stream, const http::ResponseWriter& writer) {
  if (!writer.client_stalled()) return stream.cancel();
  stream.give_up(Error(Code::kTimeout, "the client did not read its answer"));
}

// Of an event that belongs to a choice.
std::optional<std::uint32_t> choice_of(const runtime::StreamEvent& event) {
  if (const auto* delta = std::get_if<runtime::StreamDelta>(&event)) return delta->choice;
  if (const auto* end = std::get_if<runtime::ChoiceEnd>(&event)) return end->choice;
  return std::nullopt;
}

}  // namespace

Generation::Generation(const GenerationContext& context, http::ResponseWriter& writer,
                       Endpoint endpoint, runtime::Principal principal, const Wishes& wishes)
    : context_(context),
      writer_(writer),
      principal_(std::move(principal)),
      wishes_(wishes),
      arrived_ns_(context.clock.monotonic_ns()) {
  request_.endpoint = endpoint;
}

Generation::~Generation() {
  if (stream_ == nullptr) return;
  // Left early, by an error or an exception: nobody will read the rest. The gateway keeps the
  // stream until its records are written.
  if (outcome_.empty()) {
    stream_->cancel();
    outcome_ = info(Code::kCancelled).name;
  }
  context_.metrics.generation_ended(outcome_);
  context_.metrics.tokens(request_.model, started_.prompt_tokens, completion_tokens_);
  context_.metrics.request_time.observe(seconds(context_.clock.monotonic_ns() - arrived_ns_));
}

awaitable<int> Generation::run(std::string body) {
  auto submitted = submit(std::move(body));
  if (!submitted.has_value()) {
    Error error = std::move(submitted).error();
    co_return co_await answer_error(std::move(error));
  }
  attach(std::move(*submitted));
  std::optional<Event> first = co_await next_event();
  if (!first.has_value()) co_return client_left();
  if (auto* failed = std::get_if<runtime::StreamFailed>(&*first)) {
    observe(*first);
    Error error = std::move(failed->error);
    co_return co_await answer_error(std::move(error));
  }
  const auto* started = std::get_if<runtime::StreamStarted>(&*first);
  if (started == nullptr) {
    Error error(Code::kInternal, "the answer does not begin with its beginning");
    co_return co_await answer_error(std::move(error));
  }
  started_ = *started;
  request_record_ = started->request_record;
  if (request_.stream) co_return co_await stream_answer();
  co_return co_await whole_answer();
}

// Neither the body nor the prompt, up to 4 MiB each, stays here while the answer is made: they are
// moved into what ends with this call. (A string that is assigned an empty one keeps its memory.)
Result<std::shared_ptr<runtime::Stream>> Generation::submit(std::string body) {
  const bool chat = request_.endpoint == Endpoint::kChat;
  auto parsed = chat ? api::openai::parse_chat(body) : api::openai::parse_completion(body);
  if (!parsed.has_value()) {
    context_.gateway.note_refusal(parsed.error().code);
    return std::move(parsed).error();
  }
  request_ = std::move(*parsed);
  runtime::GenerateCall call;
  call.principal = principal_;
  call.model = request_.model;
  call.seed_given = request_.seed_given;
  call.streaming = request_.stream;
  call.endpoint = chat ? "/v1/chat/completions" : "/v1/completions";
  ipc::Prompt prompt = std::move(request_.submit.prompt);
  call.request = request_.submit;
  call.request.prompt = std::move(prompt);
  if (wishes_.priority.has_value()) call.request.priority = *wishes_.priority;
  call.request.deadline_ms = wishes_.deadline_ms;
  call.request.now_unix_s = context_.clock.wall_ns() / kSecondNs;
  last_token_ns_.assign(request_.submit.choices, 0);
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

awaitable<int> Generation::answer_error(Error error) {
  if (stream_ != nullptr) {
    if (outcome_.empty()) stream_->cancel();
    outcome_ = info(error.code).name;
  }
  http::Response response = error_response(error);
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
  if (outcome_.empty() && writer_.client_stalled()) outcome_ = info(Code::kTimeout).name;
  if (outcome_.empty()) outcome_ = info(Code::kCancelled).name;
  return info(Code::kCancelled).http_status;
}

awaitable<int> Generation::stream_answer() {
  http::Headers head = headers();
  head.emplace_back("Content-Type", "text/event-stream; charset=utf-8");
  head.emplace_back("Cache-Control", "no-store");
  head.emplace_back("X-Accel-Buffering", "no");
  const Status begun = co_await writer_.begin(200, std::move(head));
  if (!begun.has_value()) co_return client_left();
  api::openai::ChunkWriter chunks(facts());
  std::string out;
  chunks.begin(out);
  while (true) {
    const bool ended = drain(chunks, out);
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

bool Generation::drain(api::openai::ChunkWriter& chunks, std::string& out) {
  while (out.size() < kWriteBytesMax) {
    std::optional<Event> event = stream_->try_next();
    if (!event.has_value()) return false;
    if (auto wrong = check_choice(*event)) {
      stream_->cancel();
      event = runtime::StreamFailed{std::move(*wrong), std::nullopt, request_record_};
    }
    observe(*event);
    if (const auto* delta = std::get_if<runtime::StreamDelta>(&*event)) {
      chunks.add(*delta, out);
    } else if (const auto* end = std::get_if<runtime::ChoiceEnd>(&*event)) {
      chunks.add(*end, out);
    } else if (const auto* done = std::get_if<runtime::StreamDone>(&*event)) {
      chunks.done(*done, out);
      return true;
    } else if (const auto* failed = std::get_if<runtime::StreamFailed>(&*event)) {
      chunks.fail(*failed, out);
      return true;
    }
  }
  return false;
}

awaitable<int> Generation::whole_answer() {
  api::openai::AnswerWriter answer(facts());
  while (true) {
    std::optional<Event> event = co_await next_event();
    if (!event.has_value()) co_return client_left();
    std::optional<Error> wrong = check_choice(*event);
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

// A worker is not trusted: an index it made up ends the answer, not the server.
std::optional<Error> Generation::check_choice(const Event& event) const {
  const auto choice = choice_of(event);
  if (!choice.has_value() || *choice < request_.submit.choices) return std::nullopt;
  return Error(Code::kInternal, "the worker answered with a choice that was not asked for");
}

void Generation::observe(const Event& event) {
  if (const auto* delta = std::get_if<runtime::StreamDelta>(&event)) {
    observe_delta(*delta);
  } else if (const auto* done = std::get_if<runtime::StreamDone>(&event)) {
    outcome_ = "ok";
    completion_tokens_ = done->completion_tokens;
  } else if (const auto* failed = std::get_if<runtime::StreamFailed>(&event)) {
    outcome_ = info(failed->error.code).name;
    abort_record_ = failed->abort_record;
    if (failed->request_record.has_value()) request_record_ = failed->request_record;
  }
}

void Generation::observe_delta(const runtime::StreamDelta& delta) {
  if (delta.tokens.empty()) return;
  const std::int64_t now = context_.clock.monotonic_ns();
  if (!std::exchange(first_token_seen_, true))
    context_.metrics.time_to_first_token.observe(seconds(now - arrived_ns_));
  std::int64_t& last = last_token_ns_[delta.choice];
  if (last != 0) {
    // Tokens that leave together share the time since the ones before.
    const auto count = static_cast<std::int64_t>(delta.tokens.size());
    const double each = seconds((now - last) / count);
    for (std::int64_t i = 0; i < count; ++i) context_.metrics.inter_token.observe(each);
  }
  last = now;
  completion_tokens_ += delta.tokens.size();
}

api::openai::AnswerFacts Generation::facts() const {
  api::openai::AnswerFacts facts;
  facts.endpoint = request_.endpoint;
  facts.request_id = stream_->request_id();
  facts.model = request_.model;
  facts.created_unix_s = context_.clock.wall_ns() / kSecondNs;
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

}  // namespace aioss::server
