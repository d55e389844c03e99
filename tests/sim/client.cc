#include "tests/sim/client.h"

#include <algorithm>
#include <utility>

namespace aioss::sim {
namespace {

// As in the server: one write, the socket's buffer, and how long a client may not read.
constexpr std::uint64_t kWriteBytes = 16 * 1024;
constexpr double kSocketBytes = 32 * 1024;
constexpr std::int64_t kStalledAfter = 120 * kSecond;
// So many workers are lost before a request is thought to be the cause.
constexpr std::uint32_t kLossesOfACulprit = runtime::kCrashesOfASuspect + 1;

}  // namespace

void Client::wrong(const std::string& what) {
  parts_.world.violated("client " + std::to_string(plan_.number) + ", request " +
                        std::to_string(id_) + ": " + what);
}

void Client::arrive() {
  auto submitted = parts_.plant.submit(plan_);
  parts_.world.note("client " + std::to_string(plan_.number) + " arrives");
  if (!submitted) {
    over_ = true;
    const bool allowed =
        submitted.error().code == Code::kBusy || submitted.error().code == Code::kLedgerUnavailable;
    if (!allowed) wrong("turned away: " + submitted.error().message);
    return;
  }
  stream_ = std::move(*submitted);
  id_ = stream_->id();
  choices_.resize(plan_.request.choices);
  expected_ = undisturbed(parts_.scenario, plan_.request);
  buffered_at_ns_ = progress_ns_ = parts_.world.now();
  stream_->set_wake([self = weak_from_this()] {
    const auto alive = self.lock();
    if (alive) alive->wake_soon(alive->parts_.world.dice.between(1, 400) * kMicro);
  });
  const bool leaves = plan_.reader == Reader::kVanishes || plan_.reader == Reader::kHalfCloses;
  if (!leaves) return;
  parts_.world.after(plan_.leaves_ns, [self = shared_from_this()] { self->leave(); });
}

// The server sees the end of what the client sends, and takes it for gone in both cases; one that
// has only shut its side still reads what there is to read.
void Client::leave() {
  if (over_) return;
  parts_.world.note("client " + std::to_string(plan_.number) + " leaves");
  left_ = true;
  parts_.watch.cancelled(id_);
  stream_->cancel();
  if (plan_.reader != Reader::kVanishes) return wake_soon(kMicro);
  over_ = true;
  stream_.reset();
}

void Client::wake_soon(std::int64_t delay_ns) {
  if (std::exchange(turn_armed_, true)) return;
  parts_.world.after(delay_ns, [self = shared_from_this()] {
    self->turn_armed_ = false;
    self->turn();
  });
}

std::uint64_t Client::room() {
  const std::int64_t now = parts_.world.now();
  const bool paced = plan_.reader == Reader::kSlow || plan_.reader == Reader::kNever;
  if (!paced) return kWriteBytes;
  const double rate =
      plan_.reader == Reader::kNever ? 0 : static_cast<double>(plan_.bytes_a_second);
  const double read = rate * static_cast<double>(now - buffered_at_ns_) / kSecond;
  if (read > 0 && buffered_ > 0) progress_ns_ = now;
  buffered_ = std::max(0.0, buffered_ - read);
  buffered_at_ns_ = now;
  return buffered_ < kSocketBytes ? kWriteBytes : 0;
}

void Client::turn() {
  if (over_) return;
  for (std::uint64_t left = room(); left > 0; left = room()) {
    std::uint64_t written = 0;
    while (written < left) {
      std::optional<runtime::StreamEvent> event = stream_->try_next();
      if (!event) break;
      if (over_) return wrong("something comes after the end");
      written += take(std::move(*event));
      if (over_ && stream_->try_next()) return wrong("something comes after the end");
      if (over_) return;
    }
    if (written == 0) return;
    buffered_ += static_cast<double>(written);
  }
  // Full: until the client has read some of it, or is given up.
  if (plan_.reader == Reader::kNever) {
    parts_.world.after(kStalledAfter, [self = shared_from_this(), since = progress_ns_] {
      self->give_up_if_stalled(since);
    });
    return;
  }
  const double wait =
      (buffered_ - kSocketBytes + 8 * 1024) / static_cast<double>(plan_.bytes_a_second) * kSecond;
  wake_soon(std::max<std::int64_t>(static_cast<std::int64_t>(wait), kMilli));
}

void Client::give_up_if_stalled(std::int64_t since_ns) {
  if (over_ || left_ || progress_ns_ != since_ns) return;
  parts_.world.note("client " + std::to_string(plan_.number) + " is given up");
  left_ = over_ = true;
  parts_.watch.cancelled(id_);
  stream_->give_up(Error(Code::kTimeout, "the client did not read its answer"));
  stream_.reset();
}

// About what is written for it.
std::uint64_t Client::take(runtime::StreamEvent event) {
  const auto* delta = std::get_if<runtime::StreamDelta>(&event);
  std::uint64_t bytes = ipc::kCreditOfToken;
  if (delta != nullptr) {
    bytes = ipc::cost_of(delta->text, delta->tokens.size(), delta->logprobs);
    parts_.watch.taken(id_, bytes);
  }
  if (const auto* started = std::get_if<runtime::StreamStarted>(&event)) {
    if (started_) wrong("it begins twice");
    started_ = *started;
  } else if (!started_ && !std::holds_alternative<runtime::StreamFailed>(event)) {
    wrong("it does not begin with its beginning");
  }
  if (delta != nullptr) take(*delta);
  if (const auto* end = std::get_if<runtime::ChoiceEnd>(&event)) take(*end);
  if (const auto* done = std::get_if<runtime::StreamDone>(&event)) take(*done);
  if (const auto* failed = std::get_if<runtime::StreamFailed>(&event)) take(*failed);
  return bytes;
}

void Client::take(const runtime::StreamDelta& delta) {
  if (delta.choice >= choices_.size()) return wrong("a choice that was not asked for");
  Choice& choice = choices_[delta.choice];
  if (choice.end) return wrong("text after the end of its choice");
  choice.text += delta.text;
  any_text_ = true;
  const bool as_expected =
      delta.choice < expected_.size() && expected_[delta.choice].text.starts_with(choice.text);
  if (!as_expected) wrong("its text is not that of an undisturbed run");
}

void Client::take(const runtime::ChoiceEnd& end) {
  if (end.choice >= choices_.size()) return wrong("an end of a choice that was not asked for");
  if (choices_[end.choice].end) return wrong("a choice ends twice");
  choices_[end.choice].end = end;
}

void Client::take(const runtime::StreamDone& done) {
  over_ = true;
  done_ = done;
  parts_.world.note("client " + std::to_string(plan_.number) + " has its answer of " +
                    std::to_string(done.completion_tokens) + " tokens");
  for (std::size_t i = 0; i < choices_.size(); ++i) {
    const Choice& choice = choices_[i];
    if (!choice.end) return wrong("it is done before all its choices are");
    if (i >= expected_.size()) return wrong("it is answered though it should be refused");
    if (choice.text != expected_[i].text) return wrong("its text lacks something");
    if (choice.end->completion_tokens != expected_[i].tokens) return wrong("tokens were lost");
    if (choice.end->reason != expected_[i].reason) return wrong("it ends for another reason");
  }
}

void Client::take(const runtime::StreamFailed& failed) {
  over_ = true;
  failed_ = failed;
  parts_.world.note("client " + std::to_string(plan_.number) + " is told " +
                    std::string(info(failed.error.code).name));
  if (!may_fail_with(failed.error)) wrong("it fails: " + failed.error.message);
  const bool unrecorded = !failed.abort_record && failed.error.code != Code::kLedgerUnavailable;
  if (unrecorded) wrong("its end is not recorded: " + failed.error.message);
}

bool Client::may_fail_with(const Error& error) const {
  const Scenario& scenario = parts_.scenario;
  const std::uint32_t lost = parts_.watch.workers_lost(id_);
  switch (error.code) {
    case Code::kCancelled:
      return left_;
    case Code::kTimeout:  // of the client, or of a load
      return left_ || parts_.watch.has_load_died();
    case Code::kBusy:  // the worker's queue, or no room for its model; nothing was made of it
      return !any_text_;
    case Code::kEngineFailed:  // also for whoever shares the call
      return std::any_of(scenario.clients.begin(), scenario.clients.end(),
                         [](const ClientPlan& plan) { return plan.fails; });
    case Code::kWorkerDied:
      return plan_.is_poison || lost >= kLossesOfACulprit || scenario.has(Trouble::kFileChanged) ||
             lost == 0 || parts_.watch.has_load_died();  // a load that failed under it
    case Code::kNoMemory:  // a load that fails, or others are busy in its room
      return scenario.has(Trouble::kBadLoad) || (scenario.memory_max > 0 && !any_text_);
    case Code::kModelCorrupt:
      return scenario.has(Trouble::kFileChanged);
    case Code::kLedgerUnavailable:
      return scenario.has(Trouble::kNoSpace) || scenario.has(Trouble::kLowSpace) ||
             scenario.ending == Ending::kDiskDies;
    case Code::kShuttingDown:
      return scenario.ending != Ending::kDrained;
    case Code::kContextExceeded:
      return expected_.empty();
    default:
      return false;
  }
}

}  // namespace aioss::sim
