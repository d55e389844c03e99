// How the switch of one model from one engine to another stands. A value, in its model; changed by
// EngineSwitches alone. Runtime thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "plugins/engine_table.h"
#include "runtime/planning/engine_choices.h"
#include "runtime/streams/engine_canary.h"
#include "runtime/streams/stream_state.h"

namespace aioss::runtime {

struct EngineSwitch {
  enum class Step {
    kNone,
    kWaiting,  // for the next load: the model has no worker
    kLoading,  // the new one, or the old one drains because there is no room for both
    kTrying,   // the canary
    kMoving,   // streams, from the old one to the new one
    kWatched,  // it serves; if it crashes twice, the old one is taken again
    kOver
  };
  enum class Outcome { kNone, kDone, kFailed, kRolledBack };

  bool is_under_way() const { return step >= Step::kWaiting && step <= Step::kMoving; }

  Step step = Step::kNone;
  Outcome outcome = Outcome::kNone;
  std::string reason;        // for people
  std::uint64_t orders = 0;  // switches so far, ordered or not
  std::string from, to;
  // By an order: what runs is the one that is doubted, so nothing is compared with it.
  bool goes_back = false;
  // The file that the old one was, if the switch is to another file of the same name.
  std::shared_ptr<const plugins::EngineImage> from_file;

  // What was before the order, if one has begun it: that is taken again if it fails.
  struct Before {
    std::optional<EngineChoices::Choice> choice;
    std::optional<std::string> setting;  // in effect
  };
  std::optional<Before> before;

  // kTrying.
  struct Asked {
    bool of_running = false;
    std::size_t index = 0;
  };
  std::map<ipc::RequestId, Asked> asked;  // that have not ended
  std::uint64_t running_life = 0, coming_life = 0;
  std::vector<CanaryTokens> running, coming;  // kEngineCanaries each
  bool has_passed = false;

  // kMoving: out of which life; who is to be moved next, once the new one has computed what it goes
  // on from; and who was moved last.
  std::uint64_t leaving_life = 0;
  std::int64_t moving_since_ns = 0;
  struct Ahead {
    ipc::RequestId id = 0;
    std::uint64_t life = 0;                // that computes it
    std::optional<ipc::RequestId> number;  // by which that one has it; null: it does not
    std::uint64_t tokens = 0;              // that were there to be computed
    std::uint32_t rounds = 0;
    std::int64_t since_ns = 0, first_ns = 0;  // this round, and how long the first one took
    bool is_over = false;                     // no round comes after this one
  };
  std::optional<Ahead> ahead;
  std::shared_ptr<StreamState> moved;
  std::uint64_t tokens_when_moved = 0;
  std::int64_t moved_ns = 0;
  std::uint64_t moved_count = 0;

  // kWatched, and while streams move.
  std::int64_t watched_until_ns = 0;
  std::uint32_t crashes = 0;
};

}  // namespace aioss::runtime
