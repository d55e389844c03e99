// Streams that move from one engine to another at a token boundary: the part of EngineSwitches that
// takes them from the worker that leaves. See docs/engine-switch.md, "Moving".
#include <algorithm>

#include "runtime/lives/engine_switches.h"

namespace aioss::runtime {
namespace {

using Step = EngineSwitch::Step;
using Outcome = EngineSwitch::Outcome;

// A stream that has moved is given so long to say something before the next one moves: all at once,
// each would wait for the prompts of all.
constexpr std::int64_t kMoveTurnNs = 2'000'000'000;
// What a new worker computes ahead of a stream's move: in so many rounds at most, until so few
// tokens are missing, which cost about what two decode steps do. Once streams have moved for so
// long, the others wait for their whole contexts.
constexpr std::uint32_t kAheadRounds = 4;
constexpr std::uint64_t kGapTokens = 16;
constexpr std::int64_t kAheadNs = 180'000'000'000;

}  // namespace

bool EngineSwitches::is_moving() const {
  const auto& models = parts_.models.models();
  return std::any_of(models.begin(), models.end(), [](const auto& one) {
    const Model& model = *one.second;
    const bool drains = model.serving != nullptr && model.serving->drains;
    return model.engine_switch.step == Step::kMoving ||
           (model.engine_switch.step == Step::kLoading && drains);
  });
}

bool EngineSwitches::may_move(const Life& from, const Life& to) const {
  return parts_.options.profile == ipc::Profile::kFast && to.phase == Phase::kReady && from.ready &&
         to.ready && to.ready->cells_per_stream >= from.ready->cells_per_stream;
}

void EngineSwitches::move_all(Model& model, Life& from) {
  const std::vector<ipc::RequestId> ids = parts_.requests.movable(from);
  for (auto id = ids.rbegin(); id != ids.rend(); ++id) {  // each is put before the others
    if (parts_.requests.move(from, *id)) ++model.engine_switch.moved_count;
  }
}

// The new worker computes what this one goes on from while it is still answered, then what it has
// said meanwhile, and so on: as a virtual machine moves. True: it is not its time yet.
bool EngineSwitches::waits_for(EngineSwitch& state, const Life& to, ipc::RequestId next,
                               std::int64_t now_ns) {
  if (state.ahead && state.ahead->id != next) {  // that one has ended
    cancel_ahead(state, to);
    state.ahead.reset();
  }
  if (now_ns - state.moving_since_ns > kAheadNs) {
    cancel_ahead(state, to);
    return false;
  }
  if (!state.ahead) {
    state.ahead.emplace();
    state.ahead->id = next;
    state.ahead->life = to.number;
  }
  EngineSwitch::Ahead& ahead = *state.ahead;
  if (ahead.life != to.number) return false;  // that one has ended
  if (ahead.number && to.link->has(*ahead.number)) return true;
  if (parts_.requests.is_for_a_suspect(to)) return true;  // it would only wait there
  if (ahead.number) end_round(ahead, now_ns);
  if (ahead.is_over) return false;
  const auto begun = parts_.requests.compute_ahead(to, next);
  if (!begun) return false;
  ++ahead.rounds;
  ahead.number = begun->number;
  ahead.tokens = begun->tokens;
  ahead.since_ns = now_ns;
  ahead.is_over = begun->in_part || ahead.rounds == kAheadRounds;
  return true;
}

// A round that is not much shorter than the first one does not build on it: there was no room to
// keep that.
void EngineSwitches::end_round(EngineSwitch::Ahead& ahead, std::int64_t now_ns) const {
  const std::int64_t took_ns = now_ns - ahead.since_ns;
  if (ahead.rounds == 1) ahead.first_ns = took_ns;
  const bool builds = ahead.rounds == 1 || took_ns < ahead.first_ns / 2;
  const bool enough = parts_.requests.tokens_of(ahead.id) - ahead.tokens <= kGapTokens;
  ahead.is_over = ahead.is_over || enough || !builds;
  ahead.number.reset();
}

void EngineSwitches::cancel_ahead(const EngineSwitch& state, const Life& to) {
  const bool has_it = state.ahead && state.ahead->number && state.ahead->life == to.number;
  if (has_it && to.link) to.link->cancel(*state.ahead->number);  // nothing if it is done
}

// One after the other: the others are answered meanwhile, by the engine that they have.
void EngineSwitches::move_next(Model& model, std::int64_t now_ns) {
  EngineSwitch& state = model.engine_switch;
  if (state.moved) {
    const bool goes_on =
        state.moved->wants_to_run() && state.moved->token_count() <= state.tokens_when_moved;
    if (goes_on && now_ns - state.moved_ns < kMoveTurnNs) return;
    state.moved.reset();
  }
  Life* const from = model.life(state.leaving_life);
  const bool has_some = from != nullptr && from->phase == Phase::kReady;
  // It has crashed and is loaded again: the streams are where they are, and are answered.
  if (has_some && (model.serving == nullptr || model.serving->phase != Phase::kReady)) return;
  if (has_some && may_move(*from, *model.serving)) {
    for (const ipc::RequestId id : parts_.requests.movable(*from)) {
      if (waits_for(state, *model.serving, id, now_ns)) return;
      const auto stream = parts_.requests.move(*from, id);
      if (!stream) continue;  // it is ending
      ++state.moved_count;
      if (stream->token_count() == 0) continue;  // it waited, and nobody is kept waiting by it
      state.moved = stream;
      state.tokens_when_moved = stream->token_count();
      state.moved_ns = now_ns;
      return;
    }
  }
  finish(model, Outcome::kDone,
         state.reason + "; streams moved: " + std::to_string(state.moved_count));
}

}  // namespace aioss::runtime
