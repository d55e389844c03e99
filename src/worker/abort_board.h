// How a cancel reaches a graph that is being computed: the command thread writes which request is
// cancelled, the engine thread which one it prefills, and the engine's abort callback compares the
// two, so that a late cancel can never stop the next request's prefill. Thread-safe.
//
// Only calls that prefill one sequence are stopped: an abort undoes the whole call, and a decode
// step belongs to everyone. Two cancels at once may hide the first; it then takes effect before the
// next call.
#pragma once

#include <atomic>

#include "ipc/messages.h"

namespace aioss::worker {

class AbortBoard final {
 public:
  // Any thread.
  void cancel(ipc::RequestId id) { cancelled_.store(id, std::memory_order_relaxed); }
  // A request comes: one of the same number was cancelled here, maybe, and has come back.
  void begin(ipc::RequestId id) {
    ipc::RequestId cancelled = id;
    cancelled_.compare_exchange_strong(cancelled, kNone - 1, std::memory_order_relaxed);
  }
  void stop() { stopping_.store(true, std::memory_order_relaxed); }  // the process is ending
  bool stopping() const { return stopping_.load(std::memory_order_relaxed); }

  // The engine thread, around a prefill call.
  void begin_prefill(ipc::RequestId id) { prefilling_.store(id, std::memory_order_relaxed); }
  void end_prefill() { prefilling_.store(kNone, std::memory_order_relaxed); }

  // aioss_session_options::abort; `user` is the board.
  static int should_abort(void* user) {
    const auto& board = *static_cast<const AbortBoard*>(user);
    if (board.stopping()) return 1;
    const ipc::RequestId id = board.prefilling_.load(std::memory_order_relaxed);
    return id != kNone && id == board.cancelled_.load(std::memory_order_relaxed) ? 1 : 0;
  }

 private:
  static constexpr ipc::RequestId kNone = UINT64_MAX;
  std::atomic<ipc::RequestId> cancelled_{kNone - 1};
  std::atomic<ipc::RequestId> prefilling_{kNone};
  std::atomic<bool> stopping_{false};
};

}  // namespace aioss::worker
