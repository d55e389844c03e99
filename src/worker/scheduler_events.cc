// From logits to events: sampling, text, ends. See scheduler.h.
#include <algorithm>
#include <string>
#include <utility>

#include "base/assert.h"
#include "codec/utf8.h"
#include "ipc/limits.h"
#include "worker/scheduler.h"

namespace aioss::worker {
namespace {

constexpr std::int64_t kStatsIntervalNs = 1'000'000'000;

std::uint64_t elapsed(std::int64_t from, std::int64_t to) {
  return to > from ? static_cast<std::uint64_t>(to - from) : 0;
}

}  // namespace

// A token that an earlier worker made and the gateway has: it leads to the state that there was
// then, text that is held back included, and is not told again. Its end may not have been.
void Scheduler::replay(Sequence& sequence, Token token) {
  sequence.sampler.accept(token);
  sequence.next = token;
  ++sequence.generated;
  sequence.last_token_ns = clock_.monotonic_ns();
  if (sequence.generated == 1) sequence.first_token_ns = sequence.last_token_ns;
  std::string told;
  if (sequence.text.push(vocabulary_.piece(token), told)) {
    finish(sequence, ipc::FinishReason::kStop);
  } else if (sequence.generated == sequence.request.tokens_max) {
    finish(sequence, ipc::FinishReason::kLength);
  }
}

void Scheduler::take_token(Sequence& sequence, std::span<const float> logits) {
  const Request& request = sequence.request;
  const ipc::Submit& submit = request.submit;
  if (submit.prefix_only) return finish(sequence, ipc::FinishReason::kLength);
  const std::span<const Token> resumed = request.resumed(sequence.choice);
  if (request.prompt_tokens() > request.asked_tokens) {  // they were prefilled
    while (sequence.generated < resumed.size()) {
      replay(sequence, resumed[sequence.generated]);
      if (sequence.phase == Phase::kDone) return;
    }
  } else if (sequence.generated < resumed.size()) {
    return replay(sequence, resumed[sequence.generated]);
  }
  if (logits.size() != vocabulary_.size()) {
    finish(sequence, ipc::FinishReason::kError,
           Error{Code::kEngineFailed, "the engine computed no logits for this token"});
    return;
  }
  Result<SampledToken> sampled =
      sequence.sampler.sample(logits, {submit.logprobs, submit.top_logprobs}, scratch_);
  if (!sampled) {
    finish(sequence, ipc::FinishReason::kError, std::move(sampled).error());
    return;
  }
  const Token token = sampled->token;
  std::string text;
  if (vocabulary_.ends_generation(token) && !submit.ignore_eos) {
    // The end token is no part of the answer: neither its text, nor its tokens, nor their count.
    sequence.text.finish(text);
    if (!text.empty()) emit_text(sequence, {}, std::move(text));
    finish(sequence, ipc::FinishReason::kStop);
    return;
  }
  sequence.sampler.accept(token);
  sequence.next = token;
  ++sequence.generated;
  ++stats_.completion_tokens;
  sequence.last_token_ns = clock_.monotonic_ns();
  if (sequence.generated == 1) sequence.first_token_ns = sequence.last_token_ns;
  const bool stopped = sequence.text.push(vocabulary_.piece(token), text);
  const bool full = sequence.generated == request.tokens_max;
  if (full && !stopped) sequence.text.finish(text);
  ipc::Delta delta;
  delta.tokens.push_back(token);
  if (submit.logprobs) delta.logprobs.push_back(describe(*sampled));
  emit_text(sequence, std::move(delta), std::move(text));
  if (stopped) {
    finish(sequence, ipc::FinishReason::kStop);
  } else if (full) {
    finish(sequence, ipc::FinishReason::kLength);
  }
}

ipc::TokenLogprob Scheduler::describe(const SampledToken& sampled) const {
  ipc::TokenLogprob out;
  out.token = sampled.token;
  const auto shown = [this](Token token) {  // as it will be sent: that is what it costs
    return std::string(vocabulary_.display(token).substr(0, ipc::kTokenTextBytesMax));
  };
  out.text = shown(sampled.token);
  out.logprob = sampled.logprob;
  for (const SampledToken::Top& top : sampled.top) {
    out.top.push_back({shown(top.token), top.logprob, top.token});
  }
  return out;
}

void Scheduler::emit_text(Sequence& sequence, ipc::Delta delta, std::string text) {
  charge(sequence.request, ipc::cost_of(text, delta.tokens.size(), delta.logprobs));
  delta.id = sequence.request.id();
  delta.choice = sequence.choice;
  std::string_view rest = text;
  while (rest.size() > ipc::kDeltaTextBytesMax) {  // a vocabulary with absurdly long tokens
    const std::string_view front = rest.substr(0, ipc::kDeltaTextBytesMax);
    delta.text = front.substr(0, codec::utf8_whole_prefix(front));
    rest.remove_prefix(delta.text.size());
    sink_.emit(std::exchange(delta, ipc::Delta{delta.id, delta.choice, {}, {}, {}}));
  }
  delta.text = rest;
  sink_.emit(std::move(delta));
}

void Scheduler::finish(Sequence& sequence, ipc::FinishReason reason, std::optional<Error> error) {
  ASSERT(sequence.phase != Phase::kDone);
  Request& request = sequence.request;
  if (sequence.phase == Phase::kQueued) {
    queue_.remove(sequence);
    waits_no_more(request);
  } else if (sequence.phase == Phase::kSpilled) {
    std::erase(resuming_, &sequence);
    drop_saved(sequence);
  } else {
    std::erase(prefilling_, &sequence);
    forget_source(sequence);
    streams_[static_cast<std::size_t>(sequence.stream)] = nullptr;
    EndedStream ended{sequence.stream, {request.shares_prefixes_as, request.submit.owner}, {}};
    if (is_worth_continuing(sequence, reason)) {
      const std::span<const Token> tokens = sequence.sampler.tokens().first(sequence.computed);
      ended.tokens.assign(tokens.begin(), tokens.end());
    }
    ended_streams_.push_back(std::move(ended));
    sequence.stream = kNoStream;
  }
  sequence.phase = Phase::kDone;
  --request.choices_open;
  const bool whole = reason == ipc::FinishReason::kStop || reason == ipc::FinishReason::kLength;
  if (whole && !request.submit.prefix_only) estimate_.answered(sequence.generated);

  const std::int64_t now = clock_.monotonic_ns();
  const std::int64_t started = sequence.started_ns != 0 ? sequence.started_ns : now;
  const std::int64_t first = sequence.generated > 0 ? sequence.first_token_ns : now;
  ipc::Finished finished;
  finished.id = request.id();
  finished.choice = sequence.choice;
  finished.reason = reason;
  finished.prompt_tokens = request.asked_tokens;
  // Those of an earlier worker count, also if they have not been taken again by now.
  finished.completion_tokens = std::max(
      sequence.generated, static_cast<std::uint32_t>(request.resumed(sequence.choice).size()));
  finished.cached_tokens = std::min(sequence.cached, request.asked_tokens);
  finished.timings.queue_ns = elapsed(request.received_ns, started);
  finished.timings.prefill_ns = elapsed(started, first);
  finished.timings.decode_ns = sequence.generated > 0 ? elapsed(first, sequence.last_token_ns) : 0;
  finished.error = std::move(error);
  sink_.emit(std::move(finished));
}

void Scheduler::forget_finished() {
  std::erase_if(requests_, [this](const auto& entry) {
    if (entry.second->choices_open > 0) return false;
    queue_.leave(entry.second->submit);
    adapters_->give_back(entry.second->adapters);
    return true;
  });
}

void Scheduler::emit_stats_if_due() {
  const std::int64_t now = clock_.monotonic_ns();
  const bool due = busy() ? now - stats_sent_ns_ >= kStatsIntervalNs : !stats_idle_sent_;
  if (busy()) stats_idle_sent_ = false;
  if (!due) return;
  stats_idle_sent_ = !busy();
  describe_load(now);
  stats_sent_ns_ = now;
  stats_.running = running();
  stats_.queued = queue_.requests();
  stats_.parked = static_cast<std::uint32_t>(
      std::count_if(streams_.begin(), streams_.end(), [](const Sequence* s) {
        return s != nullptr && s->phase == Phase::kDecode && s->request.parked();
      }));
  stats_.spilled = spilled_;
  stats_.spilled_bytes = spilled_bytes_;
  if (prefixes_) {
    stats_.prefixes = prefixes_->size();
    stats_.prefix_bytes = prefixes_->bytes();
  }
  sink_.emit(stats_);
}

}  // namespace aioss::worker
