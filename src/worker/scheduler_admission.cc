// Who may come in, and where: see scheduler.h.
#include <algorithm>
#include <string>
#include <utility>

#include "base/assert.h"
#include "worker/scheduler.h"

namespace aioss::worker {

std::optional<Error> Scheduler::refusal(const PreparedRequest& prepared,
                                        std::uint32_t& tokens_max) const {
  const ipc::Submit& submit = prepared.submit;
  const std::uint64_t prompt = prepared.prompt.size();
  const std::uint64_t cells = options_.cells_per_stream;
  if (requests_.contains(submit.id)) {
    return Error{Code::kInvalidArgument, "a request with this id is running"};
  }
  if (prompt == 0) return Error{Code::kInvalidArgument, "the prompt is empty", "prompt"};
  if (ipc::open_choices(submit) == 0) {
    return Error{Code::kInvalidArgument, "all its choices have ended"};
  }
  for (const ipc::ResumedChoice& choice : submit.resume) {
    for (const Token token : choice.tokens) {
      if (!vocabulary_.has(token)) {
        return Error{Code::kInvalidArgument, "a token is resumed that the model does not have"};
      }
    }
  }
  for (const Token token : prepared.prompt) {
    if (!vocabulary_.has(token)) {
      return Error{Code::kInvalidArgument,
                   "the prompt holds token " + std::to_string(token) + "; this model has " +
                       std::to_string(vocabulary_.size()) + " tokens",
                   "prompt"};
    }
  }
  for (const ipc::LogitBias& bias : submit.sampling.logit_bias) {
    if (!vocabulary_.has(bias.token)) {
      return Error{Code::kInvalidArgument,
                   "logit_bias names token " + std::to_string(bias.token) + "; this model has " +
                       std::to_string(vocabulary_.size()) + " tokens",
                   "logit_bias"};
    }
  }
  if (submit.prompt_tokens_max > 0 && prompt > submit.prompt_tokens_max) {
    return Error{Code::kTooLarge,
                 "the prompt has " + std::to_string(prompt) + " tokens and your tenant may send " +
                     std::to_string(submit.prompt_tokens_max) + "; shorten the prompt",
                 prepared.chat ? "messages" : "prompt"};
  }
  if (prompt >= cells) {
    return Error{Code::kContextExceeded,
                 "the prompt has " + std::to_string(prompt) + " tokens and the context holds " +
                     std::to_string(cells) + "; shorten the prompt",
                 prepared.chat ? "messages" : "prompt"};
  }
  if (prompt + submit.tokens_max > cells) {
    return Error{Code::kContextExceeded,
                 "the prompt has " + std::to_string(prompt) + " tokens and max_tokens asks for " +
                     std::to_string(submit.tokens_max) + ", together " +
                     std::to_string(prompt + submit.tokens_max) + "; the context holds " +
                     std::to_string(cells),
                 "max_tokens"};
  }
  // What another worker had taken is not refused now: its answer has begun.
  const bool must_queue = !starts_at_once() && submit.resume.empty();
  if (must_queue) {
    if (std::optional<Error> full = no_room(submit)) return full;
  }
  tokens_max =
      submit.tokens_max > 0 ? submit.tokens_max : static_cast<std::uint32_t>(cells - prompt);
  for (const ipc::ResumedChoice& choice : submit.resume) {
    if (choice.tokens.size() > tokens_max) {
      return Error{Code::kInvalidArgument, "more tokens are resumed than were asked for"};
    }
  }
  return std::nullopt;
}

void Scheduler::submit(PreparedRequest prepared) {
  const ipc::RequestId id = prepared.submit.id;
  std::uint32_t tokens_max = 0;
  if (std::optional<Error> error = refusal(prepared, tokens_max)) {
    sink_.emit(ipc::Rejected{id, std::move(*error)});
    return;
  }
  const std::uint32_t position =
      starts_at_once() ? 0 : waiting_before(prepared.submit.priority) + 1;
  const Result<const AdapterSet*> set = adapters_->take(prepared.submit.adapters);
  if (!set) {
    sink_.emit(ipc::Rejected{id, set.error()});
    return;
  }
  const bool prefill_resumed = options_.profile == ipc::Profile::kFast;
  auto request = std::make_unique<Request>(std::move(prepared), tokens_max, prefill_resumed, **set);
  sink_.emit(ipc::Accepted{id, request->asked_tokens, position});
  for (Sequence& sequence : request->choices) {
    if (sequence.phase == Phase::kQueued) queue_.push(sequence);
  }
  queue_.enter(request->submit);
  queue_.request_waits(request->submit.tenant, request->submit.priority);
  requests_.emplace(id, std::move(request));
  admit();
}

std::int32_t Scheduler::lowest_free_stream() const {
  const auto found = std::find(streams_.begin(), streams_.end(), nullptr);
  return found == streams_.end() ? kNoStream : static_cast<std::int32_t>(found - streams_.begin());
}

// For a stream: new ones, and those that come back.
bool Scheduler::somebody_waits() const {
  return !queue_.empty() || !resuming_.empty();
}

bool Scheduler::starts_at_once() const {
  return !somebody_waits() && lowest_free_stream() != kNoStream;
}

// Only while nobody comes back: those are placed by the next step, which may call the engine.
void Scheduler::admit() {
  while (!queue_.empty() && resuming_.empty()) {
    if (lowest_free_stream() == kNoStream) return;
    Sequence& next = queue_.next(*class_in_turn());
    start(next, stream_for(next));
  }
}

// Of the queue, for one tenant: whatever it does, somebody else finds room.
std::uint32_t Scheduler::queue_share() const {
  return options_.queue_requests_max - options_.queue_requests_max / 4;
}

// One of its choices.
void Scheduler::waits_no_more(Request& request) {
  if (--request.choices_queued > 0) return;
  queue_.request_waits_no_more(request.submit.tenant, request.submit.priority);
}

void Scheduler::start(Sequence& sequence, std::int32_t stream) {
  ASSERT(sequence.phase == Phase::kQueued);
  Request& request = sequence.request;
  had_turn(sequence);
  queue_.remove(sequence);
  waits_no_more(request);
  sequence.stream = stream;
  streams_[static_cast<std::size_t>(stream)] = &sequence;
  const bool sibling_prefills =
      std::any_of(request.choices.begin(), request.choices.end(),
                  [](const Sequence& other) { return other.phase == Phase::kPrefill; });
  if (sibling_prefills) {
    sequence.phase = Phase::kFollower;  // gets a copy when the sibling is through
  } else {
    sequence.phase = Phase::kPrefill;
    prefilling_.push_back(&sequence);
  }
}

void Scheduler::cancel(ipc::RequestId id) {
  const auto found = requests_.find(id);
  if (found == requests_.end()) return;
  for (Sequence& sequence : found->second->choices) {
    if (sequence.phase != Phase::kDone) finish(sequence, ipc::FinishReason::kCancelled);
  }
  forget_finished();
}

}  // namespace aioss::worker
