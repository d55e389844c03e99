#include "runtime/streams/stream_state.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/assert.h"
#include "ledger/format/commitment.h"
#include "runtime/calls/stopping.h"
#include "runtime/records/records.h"

namespace aioss::runtime {
namespace {

Error ledger_error(const Error& error) {
  return {error.code == Code::kBusy ? Code::kBusy : Code::kLedgerUnavailable,
          "the ledger cannot record this request: " + error.message};
}

Error unsealed_error(const Error& error) {
  return {Code::kLedgerUnavailable,
          "the text of this request cannot be kept, so it is not answered: " + error.message};
}

std::string output_field(std::size_t choice) {
  return "output/" + std::to_string(choice);
}

std::size_t size_of(const StreamDelta& delta) {
  std::size_t bytes = sizeof(StreamDelta) + delta.text.size() +
                      delta.tokens.size() * sizeof(ipc::Token) +
                      delta.logprobs.size() * sizeof(ipc::TokenLogprob);
  for (const ipc::TokenLogprob& logprob : delta.logprobs) {
    bytes += logprob.text.size() + logprob.top.size() * sizeof(ipc::TokenLogprob::Top);
    for (const auto& top : logprob.top) bytes += top.text.size();
  }
  return bytes;
}

template <typename T>
void move_append(std::vector<T>& to, std::vector<T>& from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

}  // namespace

StreamState::StreamState(StreamSetup setup, ledger::Ledger& ledger, Custodian& custodian,
                         const Clock& clock, std::shared_ptr<StreamHost> host)
    : setup_(std::move(setup)),
      ledger_(ledger),
      custodian_(custodian),
      clock_(clock),
      host_(std::move(host)),
      submitted_ns_(clock.monotonic_ns()),
      choices_(setup_.call.request.choices) {
  ASSERT(!choices_.empty());
}

StreamState::~StreamState() {
  for (Choice& choice : choices_) {
    std::fill(choice.text.begin(), choice.text.end(), '\0');
    std::fill(choice.tokens.begin(), choice.tokens.end(), ipc::Token{0});
  }
}

void StreamState::belongs_to(ledger::SubjectPtr subject) {
  ASSERT(subject != nullptr && subject_ == nullptr);
  setup_.call.principal.subject = subject->id();
  subject_ = std::move(subject);
}

// ---- consumer -----------------------------------------------------------------------------------

std::optional<StreamEvent> StreamState::take(Effects& effects) {
  if (!gate_open_ || events_.empty()) return std::nullopt;
  std::optional<StreamEvent> event(std::move(events_.front()));
  events_.pop_front();
  const auto* delta = std::get_if<StreamDelta>(&*event);
  if (delta == nullptr) return event;
  unread_bytes_ -= size_of(*delta);
  credit_due_ += ipc::cost_of(delta->text, delta->tokens.size(), delta->logprobs);
  const bool goes_on = choices_ended_ < choices_.size() && end_ == End::kOpen && !over_;
  if (goes_on && credit_due_ >= kCreditStepBytes && !std::exchange(credit_announced_, true)) {
    effects.drained = true;
  }
  return event;
}

std::optional<StreamEvent> StreamState::try_next() {
  Effects effects;
  std::optional<StreamEvent> event;
  {
    std::lock_guard lock(mutex_);
    event = take(effects);
  }
  if (effects.drained) host_->drained(*this);
  return event;
}

std::optional<StreamEvent> StreamState::next_for(std::chrono::milliseconds timeout) {
  Effects effects;
  std::optional<StreamEvent> event;
  {
    std::unique_lock lock(mutex_);
    readable_.wait_for(lock, timeout, [&] { return gate_open_ && !events_.empty(); });
    event = take(effects);
  }
  if (effects.drained) host_->drained(*this);
  return event;
}

std::uint64_t StreamState::take_credit() {
  std::lock_guard lock(mutex_);
  credit_announced_ = false;
  return std::exchange(credit_due_, 0);
}

void StreamState::set_wake(std::function<void()> wake) {
  auto shared = std::make_shared<const std::function<void()>>(std::move(wake));
  bool now = false;
  {
    std::lock_guard lock(mutex_);
    now = gate_open_ && !events_.empty();
    // After the end nothing will change: keeping the function would keep what it holds alive.
    if (!over_) wake_ = shared;
  }
  if (now) (*shared)();
}

void StreamState::cancel() {
  give_up({Code::kCancelled, "the client ended the request"});
}

void StreamState::give_up(Error why) {
  Effects effects;
  {
    std::lock_guard lock(mutex_);
    if (end_ != End::kOpen || over_ || cancelled_) return;
    give_up(std::move(why), effects);
  }
  perform(std::move(effects));
}

std::vector<std::vector<ipc::Token>> StreamState::tokens() const {
  std::lock_guard lock(mutex_);
  std::vector<std::vector<ipc::Token>> all;
  for (const Choice& choice : choices_) all.push_back(choice.tokens);
  return all;
}

// ---- after a step -------------------------------------------------------------------------------

void StreamState::perform(Effects effects) {
  if (effects.waited_ns) host_->waited(*effects.waited_ns);
  if (effects.append) {
    const bool is_request = effects.append->type == ledger::RecordType::kInferRequest;
    ledger_.append(effects.append->type, std::move(effects.append->body),
                   [self = shared_from_this(), is_request](const auto& result) {
                     is_request ? self->request_recorded(result) : self->end_recorded(result);
                   });
  }
  if (effects.seal_outputs) seal_outputs();
  if (effects.refused) host_->refused(*this, *effects.refused);
  if (effects.stop_worker) host_->stop_worker(id());
  if (effects.changed) wake(effects.outcome.has_value());
  if (effects.outcome) host_->ended(*this, *effects.outcome);
}

void StreamState::wake(bool last) {
  std::shared_ptr<const std::function<void()>> wake;
  {
    std::lock_guard lock(mutex_);
    wake = last ? std::move(wake_) : wake_;
    if (last) wake_.reset();
  }
  readable_.notify_all();
  if (wake) (*wake)();
}

// ---- steps, with the lock held ------------------------------------------------------------------

void StreamState::push(StreamEvent event) {
  ASSERT(!over_);
  events_.push_back(std::move(event));
}

void StreamState::drop_unread() {
  std::erase_if(events_, [](const StreamEvent& event) {
    return !std::holds_alternative<StreamStarted>(event);
  });
  unread_bytes_ = 0;
}

// A consumer that is behind gets fewer, larger events.
void StreamState::push_delta(StreamDelta delta, Effects& effects) {
  unread_bytes_ += size_of(delta);
  auto* last = events_.empty() ? nullptr : std::get_if<StreamDelta>(&events_.back());
  if (last != nullptr && last->choice == delta.choice) {
    unread_bytes_ -= sizeof(StreamDelta);
    last->text += delta.text;
    move_append(last->tokens, delta.tokens);
    move_append(last->logprobs, delta.logprobs);
  } else {
    push(std::move(delta));
  }
  effects.changed = gate_open_;
  if (unread_bytes_ <= kUnreadBytesMax) return;
  give_up({Code::kTimeout, "the client reads too slowly: more than 8 MiB of the answer wait"},
          effects);
}

// The stream's own end, before the worker's: that is only asked to stop, and goes on until it has.
void StreamState::give_up(Error error, Effects& effects) {
  ASSERT(end_ == End::kOpen && !over_ && !cancelled_);
  cancelled_ = std::move(error);
  drop_unread();
  effects.stop_worker = true;
}

void StreamState::open_gate_if_due(Effects& effects) {
  if (gate_open_ || over_ || !accepted_ || request_record_ != RequestRecord::kDurable) return;
  events_.push_front(StreamStarted{request_index_, prompt_tokens_});
  gate_open_ = true;
  effects.changed = true;
}

void StreamState::decide(End end, std::optional<Error> error, Effects& effects) {
  if (end_ != End::kOpen || over_) return;
  end_ = end;
  end_error_ = std::move(error);
  append_end_if_due(effects);
}

// The end's record names the request's record, so it waits for that one's index.
void StreamState::append_end_if_due(Effects& effects) {
  if (end_ == End::kOpen || end_appended_ || over_) return;
  if (request_record_ == RequestRecord::kPending) return;
  // accepted() lets no worker answer what has not begun, so a result has a request to name.
  ASSERT(end_ != End::kResult || request_record_ == RequestRecord::kDurable);
  end_appended_ = true;
  ASSERT(!effects.append);
  if (end_ == End::kResult && setup_.sealed) {
    effects.seal_outputs = true;
  } else if (end_ == End::kResult) {
    effects.append = Append{ledger::RecordType::kInferResult, result_body({})};
  } else {
    effects.append = Append{ledger::RecordType::kInferAbort, abort_body()};
  }
}

// `blobs`: of the choices, in order; none unless sealed.
codec::Map StreamState::result_body(const std::vector<ledger::BlobName>& blobs) const {
  std::vector<records::Choice> list;
  for (std::size_t i = 0; i < choices_.size(); ++i) {
    const Choice& choice = choices_[i];
    const Digest salt = subject_->salt(setup_.request_id, output_field(i));
    list.push_back({ledger::commitment_of(salt, choice.text),
                    choice.text.size(),
                    choice.end.completion_tokens,
                    choice.end.reason,
                    choice.end.timings,
                    {}});
    if (!blobs.empty()) list.back().blob = blobs.at(i);
  }
  return records::infer_result(setup_.request_id, request_index_, prompt_tokens_, list,
                               blobs.empty() ? nullptr : &setup_.call.principal);
}

codec::Map StreamState::abort_body() {
  ASSERT(end_error_);
  std::optional<std::uint64_t> ref, tokens;
  if (request_record_ == RequestRecord::kDurable) {
    ref = request_index_;
    tokens = tokens_so_far();
  }
  return records::infer_abort({setup_.call, setup_.request_id, ref, *end_error_, tokens});
}

std::uint64_t StreamState::tokens_so_far() const {
  std::uint64_t total = 0;
  for (const Choice& choice : choices_) total += choice.tokens.size();
  return total;
}

void StreamState::count_wait(std::int64_t until_ns, Effects& effects) {
  if (std::exchange(wait_counted_, true)) return;
  effects.waited_ns = std::max<std::int64_t>(until_ns - submitted_ns_, 0);
  if (begun_ns_ != 0) queue_ns_ = std::max<std::int64_t>(until_ns - begun_ns_, 0);
}

// It ended before the worker said when it began: its first token is the next best, if there is one.
void StreamState::count_wait_at_end(Effects& effects) {
  count_wait(first_token_ns_ != 0 ? first_token_ns_ : clock_.monotonic_ns(), effects);
}

void StreamState::finish_failed(Error error, std::optional<std::uint64_t> record,
                                Effects& effects) {
  const bool cancelled = error.code == Code::kCancelled;
  if (!gate_open_) events_.clear();
  std::optional<std::uint64_t> request;
  if (request_record_ == RequestRecord::kDurable) request = request_index_;
  push(StreamFailed{std::move(error), record, request});
  over_ = gate_open_ = true;
  count_wait_at_end(effects);
  effects.changed = true;
  effects.outcome = cancelled ? StreamOutcome::kCancelled : StreamOutcome::kFailed;
}

void StreamState::finish_done(std::uint64_t record, Effects& effects) {
  ASSERT(last_choice_ && gate_open_);
  std::uint32_t completion_tokens = 0;
  for (const Choice& choice : choices_) completion_tokens += choice.end.completion_tokens;
  push(choices_[*last_choice_].end);
  push(StreamDone{record, prompt_tokens_, completion_tokens,
                  std::min(cached_tokens_, prompt_tokens_)});
  over_ = true;
  effects.changed = true;
  effects.outcome = StreamOutcome::kDone;
}

// ---- runtime thread -----------------------------------------------------------------------------

bool StreamState::wants_to_run() const {
  std::lock_guard lock(mutex_);
  return !cancelled_ && !over_ && end_ == End::kOpen;
}

bool StreamState::begin(const LoadedModel& model) {
  ASSERT(subject_ != nullptr);
  const ipc::Submit& request = setup_.call.request;
  const auto commitment = [this](std::string_view field, ByteView text) {
    return ledger::commitment_of(subject_->salt(setup_.request_id, field), as_text(text));
  };
  Bytes prompt = records::canonical_prompt(request.prompt);
  const Digest prompt_commitment = commitment("prompt", prompt);
  std::optional<Digest> stop_commitment;
  if (!request.stop.empty()) {
    stop_commitment = commitment("stop", records::canonical_stops(request.stop));
  }
  {
    std::lock_guard lock(mutex_);
    ASSERT(request_record_ == RequestRecord::kNone);
    if (end_ != End::kOpen || over_) return false;
    request_record_ = RequestRecord::kPending;
    begun_ns_ = clock_.monotonic_ns();
    begun_by_ = model.sha256;
    begun_with_ = model.engine;
    for (const LoadedAdapter& adapter : model.adapters) {
      setup_.call.request.adapters.push_back(adapter.use);
    }
    token_limit_ = model.cells_per_stream;
    if (request.tokens_max > 0) token_limit_ = std::min(token_limit_, request.tokens_max);
  }
  codec::Map body = records::infer_request(
      {setup_.call, setup_.request_id, setup_.profile, model.load_record, setup_.config_record,
       prompt_commitment, prompt.size(), stop_commitment, model.adapters});
  if (setup_.sealed) {
    seal_prompt(std::move(body), std::move(prompt));
  } else {
    Effects effects;
    effects.append = Append{ledger::RecordType::kInferRequest, std::move(body)};
    perform(std::move(effects));
  }
  return true;
}

void StreamState::drop_prompt() {
  setup_.call.request.prompt.emplace<std::string>();  // assigning one would keep its memory
}

// ---- sealed texts -------------------------------------------------------------------------------

// The worker computes meanwhile.
void StreamState::seal_prompt(codec::Map body, Bytes prompt) {
  auto job = [self = shared_from_this(), body,
              prompt = std::move(prompt)](ledger::Custody& custody) {
    const ledger::BlobStore::Text text{"prompt", as_text(prompt)};
    self->prompt_sealed(body, custody.seal(*self->subject_, self->setup_.request_id, {&text, 1}));
  };
  if (!custodian_.post(std::move(job))) {
    prompt_sealed(std::move(body), gateway_stopping());
  }
}

void StreamState::prompt_sealed(codec::Map body, const Sealed& sealed) {
  Effects effects;
  {
    std::lock_guard lock(mutex_);
    if (over_) return;
    if (sealed) {
      records::add_prompt_blob(body, sealed->front());
      effects.append = Append{ledger::RecordType::kInferRequest, std::move(body)};
    } else {
      request_record_ = RequestRecord::kRefused;
      if (end_ != End::kAbort) end_error_ = unsealed_error(sealed.error());
      end_ = End::kAbort;  // even if the worker has finished in the meantime
      effects.stop_worker = true;
      append_end_if_due(effects);
    }
  }
  perform(std::move(effects));
}

// The texts do not change any more: every choice has ended.
void StreamState::seal_outputs() {
  auto job = [self = shared_from_this()](ledger::Custody& custody) {
    std::vector<ledger::BlobStore::Text> texts;
    for (std::size_t i = 0; i < self->choices_.size(); ++i) {
      texts.push_back({output_field(i), self->choices_[i].text});
    }
    self->outputs_sealed(custody.seal(*self->subject_, self->setup_.request_id, texts));
  };
  if (!custodian_.post(std::move(job))) {
    outputs_sealed(gateway_stopping());
  }
}

void StreamState::outputs_sealed(const Sealed& sealed) {
  Effects effects;
  {
    std::lock_guard lock(mutex_);
    if (over_) return;
    if (sealed) {
      effects.append = Append{ledger::RecordType::kInferResult, result_body(*sealed)};
    } else {
      end_ = End::kAbort;
      end_error_ = unsealed_error(sealed.error());
      effects.append = Append{ledger::RecordType::kInferAbort, abort_body()};
    }
  }
  perform(std::move(effects));
}

// ---- any thread ---------------------------------------------------------------------------------

void StreamState::abort(Error error) {
  Effects effects;
  {
    std::lock_guard lock(mutex_);
    if (failure_) error = *failure_;
    if (cancelled_) error = *cancelled_;
    decide(End::kAbort, std::move(error), effects);
  }
  perform(std::move(effects));
}

void StreamState::ledger_failed(const Error& error) {
  Effects effects;
  {
    std::lock_guard lock(mutex_);
    if (over_) return;
    drop_unread();
    finish_failed(ledger_error(error), std::nullopt, effects);
    effects.stop_worker = true;
  }
  perform(std::move(effects));
}

// ---- ledger thread ------------------------------------------------------------------------------

void StreamState::request_recorded(const Result<ledger::Committed>& result) {
  if (!result) {
    ledger_failed(result.error());
    return;
  }
  Effects effects;
  {
    std::lock_guard lock(mutex_);
    request_record_ = RequestRecord::kDurable;
    request_index_ = result->index;
    if (over_) return;
    open_gate_if_due(effects);
    append_end_if_due(effects);
  }
  perform(std::move(effects));
}

void StreamState::end_recorded(const Result<ledger::Committed>& result) {
  if (!result) {
    ledger_failed(result.error());
    return;
  }
  Effects effects;
  {
    std::lock_guard lock(mutex_);
    if (over_) return;
    if (end_ == End::kResult) {
      finish_done(result->index, effects);
    } else {
      finish_failed(*end_error_, result->index, effects);
    }
  }
  perform(std::move(effects));
}

}  // namespace aioss::runtime
