#include "runtime/lives/engine_switches.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/strings.h"
#include "base/suggest.h"
#include "plugins/engine_table.h"
#include "runtime/catalogue/engines.h"
#include "runtime/lives/replacement.h"
#include "runtime/models/decide.h"
#include "runtime/planning/planning.h"

namespace aioss::runtime {
namespace {

namespace kind = ledger::decision_kind;
namespace outcome = ledger::decision_outcome;
namespace reason = ledger::engine_switch_reason;

using Step = EngineSwitch::Step;
using Outcome = EngineSwitch::Outcome;

std::string_view name_of_state(Step step) {
  switch (step) {
    case Step::kNone:
      return "";
    case Step::kWaiting:
      return "waiting";
    case Step::kLoading:
      return "loading";
    case Step::kTrying:
      return "trying";
    case Step::kMoving:
      return "moving";
    case Step::kWatched:
      return "watched";
    case Step::kOver:
      return "over";
  }
  return "";
}

std::string_view name_of_state(Outcome outcome) {
  switch (outcome) {
    case Outcome::kNone:
      return "";
    case Outcome::kDone:
      return "done";
    case Outcome::kFailed:
      return "failed";
    case Outcome::kRolledBack:
      return "rolled_back";
  }
  return "";
}

// Of the engine; not of a machine that is short of something.
bool may_be_its_fault(const Error& why) {
  return why.code != Code::kNoMemory && why.code != Code::kBusy && why.code != Code::kNotFound &&
         why.code != Code::kLedgerUnavailable;
}

bool same_engine(const PlanWanted& a, const PlanWanted& b) {
  return a.engine == b.engine && a.engine_sha256 == b.engine_sha256;
}

std::string build_of(const Life* life) {
  if (life == nullptr || !life->ready) return "unknown";
  return life->ready->engine.name + " " + life->ready->engine.version + " " +
         life->ready->engine.build_id;
}

}  // namespace

// ---- orders -------------------------------------------------------------------------------------

// Of what computes; with no worker, of what would.
std::string EngineSwitches::engine_of(const Model& model) const {
  if (model.serving != nullptr && !model.serving->room.wanted.engine.empty()) {
    return model.serving->room.wanted.engine;
  }
  const CatalogueEntry* const entry = parts_.models.entry(model.name);
  return entry == nullptr ? "" : wanted_of(*entry, parts_.options).engine;
}

Status EngineSwitches::check_engine(const CatalogueEntry& entry, const std::string& engine) const {
  const bool of_script = entry.engine == kFakeEngine;
  const auto fits = [&](const plugins::EngineImage& one) {
    if (one.name == kFakeEngine && !parts_.options.fake_models) return false;
    if (one.name == kFakeEngine) return true;  // scripts, and models in GGUF for tests
    return of_script == (one.format == plugins::ModelFormat::kScript);
  };
  std::vector<std::string> known;
  if (parts_.options.engines) {
    for (const auto& one : parts_.options.engines->all()) {
      if (fits(*one)) known.push_back(one->name);
    }
  } else {
    known.emplace_back(entry.engine);
  }
  if (std::find(known.begin(), known.end(), engine) != known.end()) return ok();
  return Error{Code::kNotFound,
               "there is no engine '" + one_line(engine.substr(0, kModelNameBytesMax)) +
                   "' for model '" + entry.name + "'" + did_you_mean(engine, known) +
                   "; there are: " + comma_separated(known),
               "engine"};
}

Status EngineSwitches::order(Model& model, const EngineOrder& order) {
  const CatalogueEntry* const entry = parts_.models.entry(model.name);
  const auto chosen = parts_.choices.of(model.name);
  if (order.what == EngineOrder::What::kUnpin) {  // also of a model whose file is gone
    if (chosen) parts_.choices.set(model.name, {chosen->engine, false, chosen->before});
    // A switch that fails after this puts no pin back.
    auto& before = model.engine_switch.before;
    if (before && before->choice) before->choice->pinned = false;
    note_unpinned(model, chosen);
    show(model);
    return ok();
  }
  if (entry == nullptr) return Error{Code::kNotFound, "the model's file is gone"};
  EngineSwitch& state = model.engine_switch;
  if (state.is_under_way() && state.step != Step::kWaiting) {
    return Error{Code::kConflict, "model '" + model.name + "' is being switched from engine '" +
                                      state.from + "' to '" + state.to +
                                      "' at the moment; try again when that is over"};
  }
  if (order.what == EngineOrder::What::kRollback) {
    if (!chosen || chosen->before.empty()) {
      return Error{Code::kConflict, "model '" + model.name +
                                        "' has no engine to go back to: it was not switched since "
                                        "the server's start"};
    }
    note_unpinned(model, chosen);
    return begin(model, {chosen->before, false, ""}, true);
  }
  AIOSS_CHECK(check_engine(*entry, order.engine));
  const bool pins = order.what == EngineOrder::What::kPin;
  if (pins && !parts_.choices.keeps_pins()) {
    return Error{Code::kUnsupported,
                 "this server has no state folder, so a pin would not outlive it; switch instead"};
  }
  const bool is_pinned = chosen && chosen->pinned;
  if (pins && !is_pinned && !parts_.choices.has_room_for_pin()) {
    return Error{Code::kConflict, "there are " + std::to_string(kEnginePinsMax) +
                                      " pins already, and there can be no more; take one away "
                                      "first (aioss engine pin MODEL --off)"};
  }
  if (!pins && is_pinned && chosen->engine != order.engine) {
    return Error{Code::kConflict, "model '" + model.name + "' is pinned to engine '" +
                                      chosen->engine +
                                      "'; pin the other one, or take the pin "
                                      "away first (aioss engine pin " +
                                      model.name + " --off)"};
  }
  const std::string now = engine_of(model);
  const std::string before = now == order.engine ? (chosen ? chosen->before : "") : now;
  return begin(model, {order.engine, pins || is_pinned, before}, false);
}

void EngineSwitches::note_unpinned(const Model& model,
                                   const std::optional<EngineChoices::Choice>& was) {
  if (!was || !was->pinned) return;
  decide(parts_.tally, kind::kEngineSwitch, outcome::kChosen, reason::kUnpinned, model,
         {"engine " + was->engine});
}

Status EngineSwitches::begin(Model& model, const EngineChoices::Choice& choice, bool goes_back) {
  const std::string& to = choice.engine;
  EngineSwitch& state = model.engine_switch;
  const std::string from = engine_of(model);
  const std::uint64_t orders = state.orders + 1;
  state = EngineSwitch();
  state.orders = orders;
  state.from = from;
  state.to = to;
  state.goes_back = goes_back;
  state.before = EngineSwitch::Before{parts_.choices.of(model.name),
                                      parts_.models.settings_of(model.name).engine};
  record(model, outcome::kChosen, choice.pinned ? reason::kPinned : reason::kOrdered);
  parts_.choices.set(model.name, choice);
  if (from == to) {
    finish(model, Outcome::kDone, "it was computed with '" + to + "' already");
    take(model, to);
    return ok();
  }
  const bool loaded = model.phase() == Phase::kReady || model.phase() == Phase::kLoading;
  state.step = loaded ? Step::kLoading : Step::kWaiting;
  model.replacement_failures.forget();
  model.failures.forget();
  log::info("a model is to be computed with another engine",
            {{"model", model.name}, {"from", from}, {"to", to}});
  take(model, to);
  show(model);
  return ok();
}

void EngineSwitches::take(Model& model, const std::string& engine) {
  parts_.models.set_engine(model.name, engine);
  parts_.has_changed(model);
}

// ---- the canary ---------------------------------------------------------------------------------

// The test engine makes its own logits up; and what an order leads back to is not judged by the
// one that it leads away from.
bool EngineSwitches::compares(const Life& coming) const {
  if (coming.model.engine_switch.goes_back) return false;
  const CatalogueEntry* const entry = parts_.models.entry(coming.model.name);
  if (entry == nullptr || entry->engine == kFakeEngine) return entry != nullptr;
  return coming.room.wanted.engine != kFakeEngine &&
         coming.model.serving->room.wanted.engine != kFakeEngine;
}

// Settings have another one, or its file is another one, where nobody has ordered it.
void EngineSwitches::begins(Model& model) {
  const CatalogueEntry* const entry = parts_.models.entry(model.name);
  EngineSwitch& state = model.engine_switch;
  if (entry == nullptr || model.serving == nullptr) return;
  if (state.step == Step::kWaiting) {  // ordered while it woke
    state.step = Step::kLoading;
    return show(model);
  }
  if (state.is_under_way()) return;
  const PlanWanted wanted = wanted_of(*entry, parts_.options);
  const PlanWanted& running = model.serving->room.wanted;
  if (same_engine(running, wanted)) return;
  const std::uint64_t orders = state.orders + 1;
  state = EngineSwitch();
  state.orders = orders;
  state.from = running.engine;
  state.to = wanted.engine;
  if (state.from == state.to) state.from_file = model.serving->engine;
  state.step = Step::kLoading;
  show(model);
}

bool EngineSwitches::tries(Life& coming) {
  Model& model = coming.model;
  if (!parts_.ask_canary || model.serving == nullptr) return false;
  if (same_engine(model.serving->room.wanted, coming.room.wanted)) return false;
  EngineSwitch& state = model.engine_switch;
  if (!state.is_under_way() || state.to != coming.room.wanted.engine) return false;
  state.step = Step::kTrying;
  state.running_life = model.serving->number;
  state.coming_life = coming.number;
  state.coming.assign(kEngineCanaries, {});
  state.running = model.serving->engine_canary;
  const bool asks_running = compares(coming) && state.running.empty();
  if (asks_running) state.running.assign(kEngineCanaries, {});
  Status asked = ask(model, coming.number, false);
  if (asked && asks_running) asked = ask(model, state.running_life, true);
  if (!asked) give_up(model, asked.error());
  show(model);
  return true;
}

Status EngineSwitches::ask(Model& model, std::uint64_t life, bool of_running) {
  for (std::size_t i = 0; i < kEngineCanaries; ++i) {
    AIOSS_TRY(const ipc::RequestId id, parts_.ask_canary(engine_canary_call(model.name, life, i)));
    model.engine_switch.asked[id] = {of_running, i};
  }
  return ok();
}

bool EngineSwitches::canary_ended(Model& model, Stream& canary, ipc::RequestId id) {
  EngineSwitch& state = model.engine_switch;
  const auto found = state.asked.find(id);
  if (found == state.asked.end()) return false;
  const EngineSwitch::Asked asked = found->second;
  state.asked.erase(found);
  if (state.step != Step::kTrying) return true;
  Result<CanaryTokens> tokens = engine_canary_answer(canary);
  if (!tokens) {
    const char* const who = asked.of_running ? "the running engine did not answer its canary: "
                                             : "it did not answer its canary: ";
    give_up(model, {tokens.error().code, who + tokens.error().message});
    return true;
  }
  (asked.of_running ? state.running : state.coming).at(asked.index) = std::move(*tokens);
  if (state.asked.empty()) tried(model);
  return true;
}

void EngineSwitches::tried(Model& model) {
  EngineSwitch& state = model.engine_switch;
  Life* const coming = model.life(state.coming_life);
  if (coming == nullptr || coming->role != Life::Role::kComing) return;  // it has failed already
  std::string found =
      state.goes_back ? "not compared: it goes back by an order" : "not compared: of a test engine";
  if (!state.running.empty() && model.serving != nullptr && compares(*coming)) {
    const CanaryComparison comparison = compare(state.running, state.coming);
    if (const Status same = judge(comparison); !same) return give_up(model, same.error());
    found = comparison.text();
  }
  // What the running engine says is the same at the next switch.
  if (Life* const running = model.life(state.running_life)) running->engine_canary = state.running;
  coming->engine_canary = state.coming;
  state.reason = found;
  state.has_passed = true;
  record(model, outcome::kChosen, reason::kCanaryPassed,
         {"old " + build_of(model.life(state.running_life)), "new " + build_of(coming), found});
  parts_.replacement.tried(*coming, found);
}

// What is still asked is answered to nobody.
void EngineSwitches::give_up(Model& model, const Error& why) {
  EngineSwitch& state = model.engine_switch;
  state.asked.clear();
  Life* const coming = model.life(state.coming_life);
  if (coming == nullptr || coming->role != Life::Role::kComing) return failed(model, why);
  parts_.replacement.tried(*coming, why);
}

// ---- how it went --------------------------------------------------------------------------------

void EngineSwitches::taken_over(Life& serving, std::uint64_t left) {
  EngineSwitch& state = serving.model.engine_switch;
  if (state.step != Step::kTrying || state.coming_life != serving.number) return;
  state.step = Step::kMoving;
  state.leaving_life = left;
  state.moving_since_ns = parts_.clock.monotonic_ns();
  state.watched_until_ns = state.moving_since_ns + kEngineWatchNs;
  look(serving.model, parts_.clock.monotonic_ns());
  show(serving.model);
}

void EngineSwitches::failed(Model& model, const Error& why) {
  EngineSwitch& state = model.engine_switch;
  if (state.step != Step::kLoading && state.step != Step::kTrying) return;
  state.asked.clear();
  record(model, outcome::kFailed, info(why.code).name, {why.message});
  log::error("a model stays with its engine",
             {{"model", model.name}, {"engine", state.from}, {"reason", why.message}});
  finish(model, Outcome::kFailed, why.message);
  undo(model);
}

// For all models: none is computed with the other one any more.
bool EngineSwitches::take_file_back(const Model& model) {
  const auto file = std::exchange(parts_.models.of(model.name).engine_switch.from_file, nullptr);
  if (!file || !parts_.options.engines) return false;
  parts_.options.engines->put(*file);
  for (const auto& [name, one] : parts_.models.models()) parts_.has_changed(*one);
  show(model);
  return true;
}

// As it was before the order. Of settings, the next try is Replacement's.
void EngineSwitches::undo(Model& model) {
  const auto before = std::exchange(model.engine_switch.before, std::nullopt);
  if (take_file_back(model) || !before) return;
  before->choice ? parts_.choices.set(model.name, *before->choice)
                 : parts_.choices.drop(model.name);
  parts_.models.set_engine(model.name, before->setting.value_or(""));
  parts_.has_changed(model);
  show(model);
}

void EngineSwitches::finish(Model& model, Outcome outcome, std::string reason) {
  EngineSwitch& state = model.engine_switch;
  state.outcome = outcome;
  state.reason = std::move(reason);
  state.step =
      outcome == Outcome::kDone && state.watched_until_ns > 0 ? Step::kWatched : Step::kOver;
  state.moved.reset();
  // Its client has left; one that has moved may be going on from it.
  const bool for_nobody = state.ahead && !parts_.requests.has(state.ahead->id);
  if (for_nobody && model.serving != nullptr) cancel_ahead(state, *model.serving);
  state.ahead.reset();
  show(model);
}

// A new worker serves that was not coming: after a load that waited for it.
void EngineSwitches::began(const Life& life) {
  Model& model = life.model;
  EngineSwitch& state = model.engine_switch;
  const bool waited = state.step == Step::kWaiting || state.step == Step::kLoading;
  // The one that served has died while this one was tried.
  const bool alone = state.step == Step::kTrying && !state.has_passed;
  if (!(waited || alone) || life.room.wanted.engine != state.to) return;
  state.asked.clear();
  state.watched_until_ns = parts_.clock.monotonic_ns() + kEngineWatchNs;
  record(model, outcome::kChosen, reason::kTakenInTurn, {"new " + build_of(&life)});
  finish(model, Outcome::kDone, "loaded without a canary, for no other worker ran beside it");
}

bool EngineSwitches::load_failed(const Life& life, const Error& why) {
  Model& model = life.model;
  EngineSwitch& state = model.engine_switch;
  const bool waited = state.step == Step::kWaiting || state.step == Step::kLoading;
  const bool watched = state.step == Step::kWatched || state.step == Step::kMoving;
  const bool has_before = state.before || state.from_file;
  if (!(waited || (watched && may_be_its_fault(why))) || !has_before ||
      life.room.wanted.engine != state.to)
    return false;
  take_back(model, {why.code, "it cannot be loaded: " + why.message});
  return true;
}

void EngineSwitches::died(const Life& life, bool from_inside) {
  Model& model = life.model;
  EngineSwitch& state = model.engine_switch;
  const bool watched = state.step == Step::kWatched || state.step == Step::kMoving;
  if (!watched || !from_inside || life.room.wanted.engine != state.to) return;
  if (life.number == state.leaving_life) return;  // the old one, by the same name
  if (state.ahead && state.ahead->number && state.ahead->life == life.number) {
    parts_.requests.blame(state.ahead->id);
    state.ahead->number.reset();
    state.ahead->is_over = true;
  }
  if (parts_.clock.monotonic_ns() > state.watched_until_ns) return;
  if (++state.crashes < kEngineCrashesMax) return;
  take_back(model, {Code::kWorkerDied, "it crashed " + std::to_string(state.crashes) +
                                           " times after it had taken over"});
}

// It serves, or was to, and the one before takes its place with the next load.
void EngineSwitches::take_back(Model& model, const Error& why) {
  EngineSwitch& state = model.engine_switch;
  log::error(
      "a model goes back to the engine that it had",
      {{"model", model.name}, {"from", state.to}, {"to", state.from}, {"reason", why.message}});
  record(model, outcome::kChosen, reason::kRolledBack,
         {std::string(info(why.code).name), why.message});
  finish(model, Outcome::kRolledBack, why.message);
  state.step = Step::kOver;
  if (state.before || state.from_file) return undo(model);
  const CatalogueEntry* const entry = parts_.models.entry(model.name);
  const bool leads_back =  // what was measured has been taken back already
      entry != nullptr && wanted_of(*entry, parts_.options).engine == state.from;
  if (leads_back) {
    parts_.has_changed(model);
  } else {
    parts_.choices.set(model.name, {state.from, false, ""});  // of settings: until the server ends
    take(model, state.from);
  }
  show(model);
}

// ---- what time brings ---------------------------------------------------------------------------

void EngineSwitches::look(Model& model, std::int64_t now_ns) {
  EngineSwitch& state = model.engine_switch;
  if (state.step == Step::kLoading || state.step == Step::kTrying) end_if_dropped(model);
  if (state.step == Step::kMoving) move_next(model, now_ns);
  if (state.step == Step::kWatched && now_ns > state.watched_until_ns) {
    state.step = Step::kOver;
    state.before.reset();  // there is no way back any more, but by an order
    state.from_file.reset();
    show(model);
  }
  // Without room for both they wait for the next one with what they have so far.
  Life* const serving = model.serving;
  const bool in_turn = state.step == Step::kLoading && serving != nullptr && serving->drains;
  if (in_turn && parts_.options.profile == ipc::Profile::kFast && serving->phase == Phase::kReady) {
    move_all(model, *serving);
    parts_.replacement.look(model);  // it may be idle now
  }
}

// By an order to unload, or because its file has changed: nobody tells of that.
void EngineSwitches::end_if_dropped(Model& model) {
  EngineSwitch& state = model.engine_switch;
  if (model.coming() != nullptr) return;
  if (model.serving == nullptr) {
    state.step = Step::kWaiting;
    return show(model);
  }
  const bool is_new = model.serving->room.wanted.engine == state.to && state.from != state.to;
  const bool goes_on = model.serving->phase == Phase::kReady && !model.serving->drains && !is_new;
  if (goes_on && (state.step == Step::kTrying || !model.serving->outdated)) {
    failed(model,
           {Code::kCancelled, "it was given up: the model was unloaded, or its file has changed"});
  }
}

// ---- telling ------------------------------------------------------------------------------------

void EngineSwitches::record(const Model& model, std::string_view outcome, std::string_view reason,
                            std::vector<std::string> details) {
  const EngineSwitch& state = model.engine_switch;
  details.insert(details.begin(), "from " + state.from + " to " + state.to);
  decide(parts_.tally, kind::kEngineSwitch, outcome, reason, model, std::move(details));
}

EngineStatus EngineSwitches::status(const Model& model) const {
  const EngineSwitch& state = model.engine_switch;
  EngineStatus status;
  status.engine = engine_of(model);
  if (const auto chosen = parts_.choices.of(model.name)) {
    status.before = chosen->before;
    status.pinned = chosen->pinned;
  }
  status.orders = state.orders;
  status.step = name_of_state(state.step);
  status.outcome = name_of_state(state.outcome);
  status.reason = state.reason;
  return status;
}

void EngineSwitches::show(const Model& model) {
  parts_.view.set_engine(model.name, status(model));
}

}  // namespace aioss::runtime
