// StreamState, as far as workers are concerned: what they say, and going on when one is lost.
#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/clock.h"
#include "ipc/channel.h"
#include "ipc/limits.h"
#include "runtime/prefixes/prefix_disk.h"
#include "runtime/streams/stream_state.h"

namespace aioss::runtime {
namespace {

// More than any stop string holds back.
constexpr std::size_t kLetGoBytesMax = 2048;

// A worker may guess the number of a request that it is about to be given.
constexpr const char* kNotGiven = "it answered a request that it was not given";

Error violation(std::string what) {
  return {Code::kCorrupt, std::move(what)};
}

}  // namespace

// ---- runtime thread -----------------------------------------------------------------------------

bool StreamState::has_begun() const {
  std::lock_guard lock(mutex_);
  return request_record_ != RequestRecord::kNone;
}

bool StreamState::worker_ended(bool from_inside, bool alone) {
  std::lock_guard lock(mutex_);
  if (from_inside) {
    ++crashes_;
  } else {
    const std::uint64_t tokens = tokens_so_far();
    if (tokens > tokens_at_kill_) stuck_ = stuck_alone_ = 0;
    ++stuck_;
    stuck_alone_ = alone ? stuck_alone_ + 1 : 0;
    tokens_at_kill_ = tokens;
  }
  const bool killed_for_it = stuck_ > kKillsOfASuspect && stuck_alone_ >= kKillsAloneOfProof;
  return alone && (crashes_ > kCrashesOfASuspect || killed_for_it);
}

bool StreamState::is_of(const Digest& sha256, const std::string& engine) const {
  std::lock_guard lock(mutex_);
  const bool same_bytes = setup_.profile != ipc::Profile::kFast;
  return begun_by_ == sha256 && (!same_bytes || begun_with_ == engine);
}

std::uint64_t StreamState::token_count() const {
  std::lock_guard lock(mutex_);
  return tokens_so_far();
}

std::uint32_t StreamState::choices_open() const {
  std::lock_guard lock(mutex_);
  return static_cast<std::uint32_t>(choices_.size() - choices_ended_);
}

bool StreamState::is_suspect() const {
  std::lock_guard lock(mutex_);
  return crashes_ >= kCrashesOfASuspect || stuck_ >= kKillsOfASuspect;
}

std::optional<std::int64_t> StreamState::deadline_ns() const {
  const std::uint64_t ms = setup_.call.request.deadline_ms;
  if (ms == 0) return std::nullopt;
  return submitted_ns_ + static_cast<std::int64_t>(ms) * kNsPerMs;
}

std::optional<std::int64_t> StreamState::load_wait_ns() const {
  if (!setup_.call.load_wait) return std::nullopt;
  return submitted_ns_ + std::chrono::nanoseconds(*setup_.call.load_wait).count();
}

void StreamState::set_model_wait(std::optional<ModelWait> wait) {
  std::lock_guard lock(mutex_);
  model_wait_ = std::move(wait);
}

std::optional<ModelWait> StreamState::model_wait() const {
  std::lock_guard lock(mutex_);
  return over_ ? std::nullopt : model_wait_;
}

ipc::Submit StreamState::request_now() const {
  ipc::Submit request = setup_.call.request;
  request.leaves_prefix = setup_.erasures == host_->erasures();
  request.owner = subject_ ? owner_number(*subject_) : 0;
  if (const auto due = deadline_ns()) {  // what is left of it; at least something: 0 is none
    const std::int64_t left_ms = (*due - clock_.monotonic_ns()) / kNsPerMs;
    request.deadline_ms = static_cast<std::uint64_t>(std::max<std::int64_t>(left_ms, 1));
  }
  return request;
}

// Several choices have their prompt in common, and each its own tokens behind it.
ipc::Submit StreamState::request_ahead(ipc::RequestId number) const {
  std::lock_guard lock(mutex_);
  ipc::Submit request = request_now();
  request.id = number;
  request.prefix_only = true;
  request.credit_bytes = 0;
  request.priority = ipc::Priority::kBatch;  // nobody waits for it, and nobody gives way to it
  if (request.choices == 1 && !choices_.empty()) {
    request.resume.push_back({choices_.front().tokens, false});
  }
  request.choices = 1;
  return request;
}

ipc::Submit StreamState::next_request() {
  std::lock_guard lock(mutex_);
  ipc::Submit request = request_now();
  if (!resumed_) return request;
  credit_due_ = 0;  // what is unread is all that counts
  std::uint64_t unread = 0;
  for (const StreamEvent& event : events_) {
    if (const auto* delta = std::get_if<StreamDelta>(&event)) {
      unread += ipc::cost_of(delta->text, delta->tokens.size(), delta->logprobs);
    }
  }
  // At least a byte: none at all would mean that there is no limit.
  request.credit_bytes = kCreditBytes - std::min(unread, kCreditBytes - 1);
  for (const Choice& choice : choices_) request.resume.push_back({choice.tokens, choice.ended});
  return request;
}

// ---- link thread --------------------------------------------------------------------------------

bool StreamState::is_open() const {
  return end_ == End::kOpen && !over_ && !cancelled_ && !failure_ &&
         request_record_ != RequestRecord::kRefused;
}

// With what was made so far behind it.
bool StreamState::fits_a_frame() const {
  constexpr std::size_t kSpare = std::size_t{1} << 20;
  const bool each = std::all_of(choices_.begin(), choices_.end(), [](const Choice& choice) {
    return choice.tokens.size() <= ipc::kPromptTokensMax;
  });
  const std::size_t bytes = setup_.frame_bytes + tokens_so_far() * sizeof(ipc::Token);
  return each && bytes + kSpare <= ipc::kFrameBytesMax;
}

bool StreamState::interrupted() {
  std::lock_guard lock(mutex_);
  if (!is_open() || !fits_a_frame()) return false;
  accepted_ = false;
  resumed_ = true;
  credit_due_ = 0;  // next_request() counts what is unread
  for (Choice& choice : choices_) {
    if (!choice.let_go.empty()) choice.said_again = choice.let_go;
  }
  return true;
}

Status StreamState::accepted(const ipc::Accepted& message) {
  Effects effects;
  {
    std::lock_guard lock(mutex_);
    if (request_record_ == RequestRecord::kNone) return violation(kNotGiven);
    if (accepted_) return violation("it accepted a request twice");
    if (resumed_ && prompt_tokens_ != 0 && prompt_tokens_ != message.prompt_tokens) {
      return violation("it counts other prompt tokens than the worker before it");
    }
    accepted_ = true;
    prompt_tokens_ = message.prompt_tokens;
    const bool starts_now = message.queue_position == 0;  // the worker has a free stream for it
    if (starts_now) count_wait(clock_.monotonic_ns(), effects);
    if (end_ == End::kOpen) open_gate_if_due(effects);
  }
  perform(std::move(effects));
  return ok();
}

Status StreamState::rejected(ipc::Rejected message) {
  Effects effects;
  {
    std::lock_guard lock(mutex_);
    if (request_record_ == RequestRecord::kNone) return violation(kNotGiven);
    if (accepted_) return violation("it rejected a request that it had accepted");
    if (!cancelled_ && end_ == End::kOpen && !over_) effects.refused = message.error.code;
    decide(End::kAbort, cancelled_ ? *cancelled_ : std::move(message.error), effects);
  }
  perform(std::move(effects));
  return ok();
}

// In `fast` the next worker may go another way than the one before: then there is nothing to skip.
void StreamState::skip_said_again(Choice& choice, ipc::Delta& message) {
  const std::size_t bytes = std::min(choice.said_again.size(), message.text.size());
  if (choice.said_again.compare(0, bytes, message.text, 0, bytes) == 0) {
    choice.said_again.erase(0, bytes);
    message.text.erase(0, bytes);
  } else {
    choice.said_again.clear();
  }
  if (!message.tokens.empty()) {
    choice.let_go.clear();
  } else if (choice.let_go.size() + message.text.size() <= kLetGoBytesMax) {
    choice.let_go += message.text;
  }
}

Status StreamState::delta(ipc::Delta message) {
  Effects effects;
  {
    std::lock_guard lock(mutex_);
    if (!accepted_) return violation("it answered a request that it had not accepted");
    if (message.choice >= choices_.size()) return violation("it answered an unknown choice");
    Choice& choice = choices_[message.choice];
    if (choice.ended) return violation("it went on after the end of a choice");
    if (message.tokens.size() > token_limit_ - choice.tokens.size()) {
      return violation("it sent more tokens than were asked for");
    }
    const std::size_t logprobs = setup_.call.request.logprobs ? message.tokens.size() : 0;
    if (message.logprobs.size() != logprobs) {
      return violation("it sent log probabilities that do not match the tokens");
    }
    if (!wait_counted_ && first_token_ns_ == 0) first_token_ns_ = clock_.monotonic_ns();
    if (choice.first_token_ns == 0) choice.first_token_ns = clock_.monotonic_ns();
    choice.tokens.insert(choice.tokens.end(), message.tokens.begin(), message.tokens.end());
    const bool said_something = !message.text.empty();
    skip_said_again(choice, message);
    if (said_something && message.text.empty() && message.tokens.empty()) return ok();
    if (cancelled_ || end_ != End::kOpen || over_) return ok();  // nobody will read it
    if (message.text.size() > kOutputBytesMax - output_bytes_) {
      give_up({Code::kTooLarge,
               "the answer is longer than 32 MiB of text, all choices together: ask for fewer "
               "tokens ('max_tokens') or choices ('n')"},
              effects);
    } else {
      output_bytes_ += message.text.size();
      choice.text += message.text;
      push_delta({message.choice, std::move(message.text), std::move(message.tokens),
                  std::move(message.logprobs)},
                 effects);
    }
  }
  perform(std::move(effects));
  return ok();
}

// The last worker knows its own part only. Here is seen when tokens came and not when they were
// made; against a worker's death that is nothing.
ipc::Timings StreamState::whole_times(const Choice& choice, const ipc::Timings& told) const {
  if (choice.first_token_ns == 0) return told;
  const std::int64_t before = std::max<std::int64_t>(choice.first_token_ns - begun_ns_, 0);
  const std::int64_t queue = std::min(queue_ns_, before);
  const std::int64_t after = clock_.monotonic_ns() - choice.first_token_ns;
  ipc::Timings whole;
  whole.queue_ns = static_cast<std::uint64_t>(queue);
  whole.prefill_ns = static_cast<std::uint64_t>(before - queue);
  whole.decode_ns = static_cast<std::uint64_t>(std::max<std::int64_t>(after, 0));
  return whole;
}

Result<bool> StreamState::finished(ipc::Finished message) {
  Effects effects;
  bool last = false;
  {
    std::lock_guard lock(mutex_);
    if (!accepted_) return violation("it finished a request that it had not accepted");
    if (message.choice >= choices_.size() || choices_[message.choice].ended) {
      return violation("it finished a choice twice or one that was not asked");
    }
    const bool whole =
        message.reason == ipc::FinishReason::kStop || message.reason == ipc::FinishReason::kLength;
    if (whole && message.prompt_tokens != prompt_tokens_) {
      return violation("it changed its mind about the number of prompt tokens");
    }
    Choice& choice = choices_[message.choice];
    if (message.completion_tokens != choice.tokens.size()) {
      return violation("it counted other tokens than it sent");
    }
    choice.ended = true;
    if (!wait_counted_) {  // it waited in the worker, which has just said for how long
      const std::int64_t most_ns = std::max<std::int64_t>(clock_.monotonic_ns() - begun_ns_, 0);
      const auto queue_ns = std::min(message.timings.queue_ns, static_cast<std::uint64_t>(most_ns));
      count_wait(begun_ns_ + static_cast<std::int64_t>(queue_ns), effects);
    }
    const ipc::Timings times = resumed_ ? whole_times(choice, message.timings) : message.timings;
    choice.end = {message.choice, message.reason, message.completion_tokens, times};
    // The choice that computed the prompt tells; the others have it from there.
    cached_tokens_ = std::min(cached_tokens_, message.cached_tokens);
    last = ++choices_ended_ == choices_.size();
    if (message.reason == ipc::FinishReason::kError && !failure_) {
      failure_ = std::move(message.error)
                     .value_or(Error{Code::kEngineFailed, "the engine failed; see the log"});
      effects.stop_worker = !last;  // the other choices of a request that failed are of no use
    }
    if (message.reason == ipc::FinishReason::kCancelled && !cancelled_ && !failure_ &&
        end_ == End::kOpen && !over_) {
      return violation("it cancelled a request by itself");
    }
    const bool open = !cancelled_ && !failure_ && end_ == End::kOpen && !over_;
    if (!last && open) {
      push(choice.end);
      effects.changed = gate_open_;
    } else if (last && cancelled_) {
      decide(End::kAbort, *cancelled_, effects);
    } else if (last && failure_) {
      decide(End::kAbort, *failure_, effects);
    } else if (last && open) {
      last_choice_ = message.choice;
      decide(End::kResult, std::nullopt, effects);
    }
  }
  perform(std::move(effects));
  return last;
}

}  // namespace aioss::runtime
