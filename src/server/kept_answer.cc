#include "server/kept_answer.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/post.hpp>
#include <utility>

#include "base/assert.h"
#include "base/clock.h"
#include "crypto/secret.h"

namespace aioss::server {
namespace {

constexpr std::int64_t kReadingTimeMaxNs = kReadingTimeMax.count() * kNsPerSecond;
constexpr std::string_view kEventEnd = "\n\n";

void wipe(std::string& text) {
  crypto::wipe({reinterpret_cast<std::uint8_t*>(text.data()), text.size()});
}

}  // namespace

// Wakes from any thread. The stream holds it weakly: it may outlive the answer, and no thread but
// io's may ever be the last that holds the answer.
struct KeptAnswer::Waker final : std::enable_shared_from_this<KeptAnswer::Waker> {
  explicit Waker(http::net::io_context& context) : io(context) {}
  http::net::io_context& io;
  std::weak_ptr<KeptAnswer> answer;  // locked on the io thread only
  std::atomic<bool> on_its_way{false};

  void wake() {
    if (on_its_way.exchange(true)) return;
    http::net::post(io, [self = shared_from_this()] {
      self->on_its_way.store(false);
      if (const auto alive = self->answer.lock()) alive->pump();
    });
  }
};

KeptAnswer::KeptAnswer(Setup setup)
    : clock_(setup.clock),
      stream_(std::move(setup.stream)),
      facts_(std::move(setup.facts)),
      head_(std::move(setup.head)),
      owner_(std::move(setup.owner)),
      patience_ns_(setup.patience.count() * kNsPerSecond),
      place_(std::move(setup.place)),
      chunks_(facts_),
      meter_(std::move(setup.meter)),
      waker_(std::make_shared<Waker>(setup.io)),
      left_ns_(clock_.monotonic_ns()) {}

std::shared_ptr<KeptAnswer> KeptAnswer::create(Setup setup) {
  const std::shared_ptr<KeptAnswer> made(new KeptAnswer(std::move(setup)));
  made->waker_->answer = made;
  std::string beginning;
  made->chunks_.begin(beginning);
  made->add_events(beginning);
  made->stream_->set_wake([waker = std::weak_ptr(made->waker_)] {
    if (const auto alive = waker.lock()) alive->wake();
  });
  return made;
}

KeptAnswer::~KeptAnswer() {
  give_up(Error(Code::kCancelled, "the client left"));
  for (std::string& event : ring_) wipe(event);
}

bool KeptAnswer::belongs_to(const runtime::Principal& caller) const {
  return caller.tenant == owner_.tenant && caller.user == owner_.user;
}

// ---- reading ------------------------------------------------------------------------------------

Status KeptAnswer::check(std::uint64_t after) const {
  const std::uint64_t last = next_number() - 1;
  if (after > last) {
    return Error{Code::kInvalidArgument,
                 "this stream has " + std::to_string(last) + " events so far; give the number of " +
                     "the last one that came, or 0 for all",
                 "from"};
  }
  if (after + 1 < first_) {
    return Error{Code::kNotFound,
                 "the events behind " + std::to_string(after) + " are gone: of those that were " +
                     "sent, the stream still has " + std::to_string(first_) + " and later; the " +
                     "whole answer must be asked for again",
                 "from"};
  }
  return ok();
}

KeptAnswer::Reader KeptAnswer::attach(std::uint64_t after,
                                      std::shared_ptr<http::AsyncEvent> changed) {
  ASSERT(check(after).has_value());
  end_reading();
  if (changed_ != nullptr) changed_->notify();
  changed_ = std::move(changed);
  reader_ = ++last_reader_;
  delivered_ = false;
  next_ = after + 1;
  history_bytes_ = 0;
  for (std::uint64_t i = first_; i < next_; ++i)
    history_bytes_ += ring_[i - first_].size() + kEventOverheadBytes;
  pump();  // what is taken may be dropped from now on
  return reader_;
}

std::string KeptAnswer::take() {
  std::string out;
  while (out.size() < kWriteBytesMax && next_ < next_number()) {
    const std::string& event = ring_[next_ - first_];
    out += event;
    history_bytes_ += event.size() + kEventOverheadBytes;
    ++next_;
  }
  if (out.empty()) return out;
  note_progress();
  pump();
  return out;
}

bool KeptAnswer::at_end() const {
  return ended_ && next_ == next_number();
}

void KeptAnswer::detach(Reader reader, bool delivered) {
  if (!is_reader(reader)) return;
  end_reading();
  reader_ = 0;
  changed_.reset();
  delivered_ = delivered;
}

void KeptAnswer::note_progress() {
  if (next_ <= taken_ + 1) return;
  taken_ = next_ - 1;
  moved_ = true;
  left_ns_ = clock_.monotonic_ns();
}

// Also when another reader comes. One who leaves a full ring has not read since note_progress().
// One who had all there was of a slow stream could not have done more.
void KeptAnswer::end_reading() {
  const bool had_all = !ended_ && next_ == next_number();
  const bool stuck = !ended_ && !has_room();
  if (has_reader() && !stuck && (moved_ || had_all)) left_ns_ = clock_.monotonic_ns();
  moved_ = false;
}

// ---- keeping ------------------------------------------------------------------------------------

bool KeptAnswer::is_overdue() const {
  const std::int64_t now = clock_.monotonic_ns();
  if (!has_reader()) return now - left_ns_ >= patience_ns_;
  if (ended_ || !full_ns_.has_value()) return false;
  return now - std::max(*full_ns_, left_ns_) >= patience_ns_ + kReadingTimeMaxNs;
}

void KeptAnswer::give_up(Error why) {
  reader_ = 0;
  if (changed_ != nullptr) std::exchange(changed_, nullptr)->notify();
  if (std::exchange(ended_, true)) return;
  meter_.set_outcome(info(why.code).name);
  meter_.report();
  std::exchange(stream_, nullptr)->give_up(std::move(why));
}

// About kWriteBytesMax in a turn: one stream that has much to say does not hold up the others.
void KeptAnswer::pump() {
  std::string rendered;
  std::size_t done_bytes = 0;
  while (!ended_) {
    drop_history();
    if (!has_room()) {
      if (!full_ns_.has_value()) full_ns_ = clock_.monotonic_ns();
      break;
    }
    full_ns_.reset();
    if (done_bytes >= kWriteBytesMax) {
      waker_->wake();
      break;
    }
    const Rendered next = render_next(*stream_, facts_, meter_, chunks_, rendered);
    if (next == Rendered::kNothing) break;
    done_bytes += rendered.size();
    add_events(rendered);
    if (next == Rendered::kLast) end();
  }
  if ((done_bytes > 0 || ended_) && changed_ != nullptr) changed_->notify();
}

void KeptAnswer::end() {
  ended_ = true;
  stream_.reset();
  meter_.report();
}

// Numbers what was rendered, and leaves it empty.
void KeptAnswer::add_events(std::string& rendered) {
  std::string_view rest = rendered;
  while (!rest.empty()) {
    const std::size_t end = rest.find(kEventEnd);
    ASSERT(end != std::string_view::npos);
    const std::string_view event = rest.substr(0, end + kEventEnd.size());
    std::string numbered = "id: " + std::to_string(next_number()) + "\n";
    numbered.reserve(numbered.size() + event.size());
    numbered += event;
    ring_bytes_ += numbered.size() + kEventOverheadBytes;
    ring_.push_back(std::move(numbered));
    rest.remove_prefix(event.size());
  }
  wipe(rendered);
  rendered.clear();
}

void KeptAnswer::drop_history() {
  while (has_reader() && history_bytes_ > kHistoryBytes && first_ < next_) drop_first();
}

void KeptAnswer::drop_first() {
  std::string& event = ring_.front();
  const std::size_t bytes = event.size() + kEventOverheadBytes;
  ring_bytes_ -= bytes;
  history_bytes_ -= bytes;
  wipe(event);
  ring_.pop_front();
  ++first_;
}

}  // namespace aioss::server
