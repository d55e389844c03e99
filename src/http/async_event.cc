#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <mutex>
#include <utility>

#include "base/assert.h"
#include "http/awaiting.h"
#include "http/server.h"

namespace aioss::http {
namespace {

constexpr std::chrono::milliseconds kWaitMax{24 * 3600 * 1000};  // keeps the timer from overflowing

}  // namespace

struct AsyncEvent::State {
  explicit State(net::io_context& context) : io(context), timer(context) {}
  net::io_context& io;      // outlives the event
  net::steady_timer timer;  // io thread only
  std::mutex mutex;
  bool notified = false;  // guarded by mutex
  bool waiting = false;   // guarded by mutex

  bool take() {
    std::lock_guard lock(mutex);
    waiting = !notified;
    return std::exchange(notified, false);
  }
};

AsyncEvent::AsyncEvent(std::unique_ptr<State> state) : state_(std::move(state)) {}
AsyncEvent::~AsyncEvent() = default;

std::shared_ptr<AsyncEvent> AsyncEvent::create(net::io_context& io) {
  return std::shared_ptr<AsyncEvent>(new AsyncEvent(std::make_unique<State>(io)));
}

void AsyncEvent::notify() {
  {
    std::lock_guard lock(state_->mutex);
    if (std::exchange(state_->notified, true)) return;  // already on its way
    if (!std::exchange(state_->waiting, false)) return;
  }
  net::post(state_->io, [self = shared_from_this()] { self->state_->timer.cancel(); });
}

net::awaitable<bool> AsyncEvent::wait(std::chrono::milliseconds timeout) {
  const std::shared_ptr<AsyncEvent> self = shared_from_this();  // survives its owner while we wait
  if (state_->take()) co_return true;
  state_->timer.expires_after(std::clamp(timeout, std::chrono::milliseconds{0}, kWaitMax));
  for (;;) {
    const auto [error] = co_await state_->timer.async_wait(kTuple);
    if (state_->take()) co_return true;
    if (!error) {
      std::lock_guard lock(state_->mutex);
      state_->waiting = false;
      co_return std::exchange(state_->notified, false);
    }
    // Cancelled by the notify of a wait that had already ended: go on to the same expiry.
  }
}

}  // namespace aioss::http
