#include "server/answer_meter.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "base/clock.h"

namespace aioss::server {
namespace {

double seconds(std::int64_t nanoseconds) {
  return static_cast<double>(std::max<std::int64_t>(nanoseconds, 0)) / kNsPerSecond;
}

// Of an event that belongs to a choice.
std::optional<std::uint32_t> choice_of(const runtime::StreamEvent& event) {
  if (const auto* delta = std::get_if<runtime::StreamDelta>(&event)) return delta->choice;
  if (const auto* end = std::get_if<runtime::ChoiceEnd>(&event)) return end->choice;
  return std::nullopt;
}

// True: it was the last.
bool render(const runtime::StreamEvent& event, api::openai::ChunkWriter& chunks, std::string& out) {
  if (const auto* delta = std::get_if<runtime::StreamDelta>(&event)) {
    chunks.add(*delta, out);
  } else if (const auto* end = std::get_if<runtime::ChoiceEnd>(&event)) {
    chunks.add(*end, out);
  } else if (const auto* done = std::get_if<runtime::StreamDone>(&event)) {
    chunks.done(*done, out);
    return true;
  } else if (const auto* failed = std::get_if<runtime::StreamFailed>(&event)) {
    chunks.fail(*failed, out);
    return true;
  }
  return false;
}

}  // namespace

std::optional<Error> check_choice(const runtime::StreamEvent& event, std::uint32_t choices) {
  const auto choice = choice_of(event);
  if (!choice.has_value() || *choice < choices) return std::nullopt;
  return Error(Code::kInternal, "the worker answered with a choice that was not asked for");
}

Rendered render_next(runtime::Stream& stream, const api::openai::AnswerFacts& facts,
                     AnswerMeter& meter, api::openai::ChunkWriter& chunks, std::string& out) {
  std::optional<runtime::StreamEvent> event = stream.try_next();
  if (!event.has_value()) return Rendered::kNothing;
  if (auto wrong = check_choice(*event, facts.choices)) {
    stream.cancel();
    event = runtime::StreamFailed{std::move(*wrong), std::nullopt, facts.request_record};
  }
  meter.observe(*event);
  return render(*event, chunks, out) ? Rendered::kLast : Rendered::kEvent;
}

AnswerMeter::AnswerMeter(HttpMetrics& metrics, const Clock& clock)
    : metrics_(&metrics), clock_(&clock), arrived_ns_(clock.monotonic_ns()) {}

void AnswerMeter::asks_for(std::string model, std::uint32_t choices) {
  model_ = std::move(model);
  last_token_ns_.assign(choices, 0);
}

void AnswerMeter::observe(const runtime::StreamEvent& event) {
  if (const auto* started = std::get_if<runtime::StreamStarted>(&event)) {
    prompt_tokens_ = started->prompt_tokens;
  } else if (const auto* delta = std::get_if<runtime::StreamDelta>(&event)) {
    observe_delta(*delta);
  } else if (const auto* done = std::get_if<runtime::StreamDone>(&event)) {
    outcome_ = "ok";
    completion_tokens_ = done->completion_tokens;
  } else if (const auto* failed = std::get_if<runtime::StreamFailed>(&event)) {
    outcome_ = info(failed->error.code).name;
  }
}

void AnswerMeter::observe_delta(const runtime::StreamDelta& delta) {
  if (delta.tokens.empty()) return;
  const std::int64_t now = clock_->monotonic_ns();
  if (!std::exchange(first_token_seen_, true))
    metrics_->time_to_first_token.observe(seconds(now - arrived_ns_));
  std::int64_t& last = last_token_ns_[delta.choice];
  if (last != 0) {
    // Tokens that leave together share the time since the ones before.
    const auto count = static_cast<std::int64_t>(delta.tokens.size());
    const double each = seconds((now - last) / count);
    for (std::int64_t i = 0; i < count; ++i) metrics_->inter_token.observe(each);
  }
  last = now;
  completion_tokens_ += delta.tokens.size();
}

void AnswerMeter::report() {
  metrics_->generation_ended(outcome_);
  metrics_->tokens(model_, prompt_tokens_, completion_tokens_);
  metrics_->request_time.observe(seconds(clock_->monotonic_ns() - arrived_ns_));
}

}  // namespace aioss::server
