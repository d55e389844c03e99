// Warm lives (docs/memory.md): a worker that is parked has given back all that it computes with and
// keeps its model. Ready → parking → warm → (waiting for room) → waking → ready. Its load stays the
// one that was recorded; its leases shrink to what it keeps.
#include <utility>

#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "runtime/lives/lives.h"
#include "runtime/models/decide.h"

namespace aioss::runtime {
namespace {

// Closing a session takes milliseconds, and what it has of a prompt is kept first.
constexpr std::int64_t kParkingMaxNs = 30'000'000'000;

}  // namespace

void Lives::park(Life& life, std::string_view reason, std::vector<std::string> details) {
  ASSERT(life.is_idle());
  if (life.adapters.step != LifeAdapters::Step::kNone) {  // it is not quite idle, and few are so
    return evict(life, reason, std::move(details));
  }
  Model& model = life.model;
  decide(parts_.tally, ledger::decision_kind::kEviction, ledger::decision_outcome::kParked, reason,
         model, details);
  parts_.books.note_eviction(life, reason, std::move(details), /*parks=*/true);
  log::info("parking a model", {{"model", model.name}, {"reason", reason}});
  life.phase = Phase::kParking;
  life.parking_ns = parts_.clock.monotonic_ns();
  parts_.adapters.parked(life, reason);
  life.link->park();
  parts_.board.show(model);
}

void Lives::on_parked(Life& life) {
  if (life.phase != Phase::kParking) return;  // it is being stopped
  Model& model = life.model;
  life.phase = Phase::kWarm;
  parts_.books.shrink(life);
  parts_.residency.parked(life);
  log::info("a model is warm", {{"model", model.name}});
  parts_.board.show(model);
  parts_.board.show_totals();
  parts_.room.changed();
  if (!model.waiting.empty() || !model.load_waiters.empty()) {  // they came meanwhile
    want_back(life);
  } else {
    parts_.residency.expire(model);  // it may be to end
  }
}

void Lives::want_back(Life& life) {
  if (life.phase != Phase::kWarm) return;
  // Another file or other settings: a new worker, once this one has ended.
  if (life.outdated) return evict(life, ledger::unload_reason::kNewFile, {});
  life.phase = Phase::kWaitingToWake;
  life.wanted_ns = parts_.clock.monotonic_ns();
  parts_.board.show(life.model);
  parts_.room.want_back(life);
}

// It has its room.
void Lives::wake(Life& life) {
  if (end_if_changed(life)) return;                               // those who wait get the next one
  const std::uint64_t prefix_bytes = life.room.prefix_bytes_max;  // it has that memory already
  parts_.books.limit_caches(life);
  life.room.prefix_bytes_max = prefix_bytes;
  life.configured.spill_bytes_max = life.room.spill_bytes_max;
  life.configured.prefixes_later = false;
  life.phase = Phase::kWaking;
  life.room.began_ns = parts_.clock.monotonic_ns();
  life.room.was_used = false;
  life.link->wake(life.configured);
  parts_.board.show(life.model);
}

void Lives::on_woken(Life& life, const ipc::Ready& ready) {
  // What it says of its session is what requests and records were told before.
  if (ready.streams != life.ready->streams ||
      ready.cells_per_stream != life.ready->cells_per_stream) {
    return kill_sick(life, {Code::kWorkerDied, "the worker has come back with another context"});
  }
  Model& model = life.model;
  const std::int64_t now = parts_.clock.monotonic_ns();
  life.phase = Phase::kReady;
  life.room.ready_ns = now;
  model.last_used_ns = now;
  model.wake_ns = now - life.room.began_ns;
  decide(parts_.tally, ledger::decision_kind::kLoad, ledger::decision_outcome::kWoken,
         model.by_order ? "by_order" : "requested", model);
  parts_.residency.woken(life);
  log::info("a model is ready again",
            {{"model", model.name}, {"milliseconds", model.wake_ns / kNsPerMs}});
  serve(life);
}

// Those who wait get another worker: there may be room for one where there was none to come back.
void Lives::fail_wake(Life& life, const Error& error) {
  log::error("a model cannot come back", {{"model", life.model.name}, {"reason", error.message}});
  begin_stopping(life);
  kill_sick(life, error);
  parts_.board.show(life.model);
}

// Who is parked, or on the way there or back, and does not get on.
void Lives::check_warm(Life& life, std::int64_t now_ns) {
  const std::int64_t timeout_ns = parts_.options.load_timeout.count() * kNsPerMs;
  const Error slow{Code::kTimeout, "model '" + life.model.name +
                                       "' took too long to come back; raise the limit of loads, "
                                       "or unload others"};
  if (life.phase == Phase::kParking && now_ns - life.parking_ns > kParkingMaxNs) {
    kill_sick(life, {Code::kWorkerDied, "the worker did not park"});
  } else if (life.phase == Phase::kWaking && now_ns - life.wanted_ns > timeout_ns) {
    fail_load(life, slow);
  } else if (life.phase == Phase::kWaitingToWake && now_ns - life.wanted_ns > timeout_ns) {
    refuse_waiting(life, slow);
  }
}

}  // namespace aioss::runtime
