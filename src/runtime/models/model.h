// One model: what there is of it with a worker or without. Its workers are its lives
// (model_life.h). Owned by ModelTable, for as long as the gateway lives; runtime thread only.
//
// Requests wait for the model, not for a life: whichever serves next gets them. Beside the one that
// serves there may be one that is coming to take its place, and some that end their streams and go
// (lives/replacement.h).
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "memory/pool.h"
#include "runtime/calls/answer.h"
#include "runtime/calls/model_entry.h"
#include "runtime/models/engine_switch.h"
#include "runtime/models/load_failures.h"
#include "runtime/models/model_life.h"

namespace aioss::runtime {

struct Model final {
  explicit Model(std::string of) : name(std::move(of)) {}
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  // Of the life that serves.
  Phase phase() const { return serving == nullptr ? Phase::kCold : serving->phase; }
  bool has_link() const { return serving != nullptr && serving->link != nullptr; }
  bool is_idle() const { return serving != nullptr && serving->is_idle(); }
  bool takes_requests() const { return phase() == Phase::kReady && !serving->drains; }
  Life* coming() const;                    // null: none
  bool has_worker() const;                 // any of its lives
  std::vector<Life*> all() const;          // its lives; some may end while they are looked at
  Life* life(std::uint64_t number) const;  // null: it has ended
  // Answers that have begun and wait for their next worker.
  bool has_begun_waiting() const;

  const std::string name;  // in the catalogue, or it was
  std::vector<std::unique_ptr<Life>> lives;
  // Of them, the one that requests are given to, or wait for while it is loaded or stops. Null: the
  // model is cold.
  Life* serving = nullptr;

  // Who waits.
  std::deque<std::shared_ptr<StreamState>> waiting;
  std::vector<std::shared_ptr<Answer<ModelEntry>>> load_waiters;

  // How its lives went.
  std::optional<Error> last_error;  // of the last load
  LoadFailures failures, replacement_failures;
  std::int64_t last_load_ns = 0;   // how long the last load took; 0: not known
  std::int64_t restore_ns = 0;     // likewise, without waiting for room
  std::int64_t wake_ns = 0;        // how long the last wake took; 0: not known
  std::uint32_t loads_killed = 0;  // one after another, by somebody else
  bool died_before = false;
  bool was_exact = false;  // the last life was planned by a dry run
  // A worker crashed: what the disk has is not brought again, for it may be the cause.
  bool distrusts_prefixes = false;
  memory::Lease prefixes;  // states of prompts, which outlive workers

  EngineSwitch engine_switch;  // lives/engine_switches.h

  // How long it stays: room/residency.h.
  bool pinned = false;                   // never evicted, never expires
  int priority = 0;                      // the lower go first
  std::int64_t last_used_ns = 0;         // monotonic
  std::int64_t keep_alive_until_ns = 0;  // while it is idle; INT64_MAX: for ever
  bool goes_after_use = false;           // and is not parked then: keep_alive is 0
  bool by_order = false;                 // an operator wanted this load
  bool unload_ordered = false;           // once it is idle
  std::string user;                      // the first tenant since it was loaded
  bool shared = false;                   // not the only one
};

}  // namespace aioss::runtime
