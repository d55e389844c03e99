#include "runtime/lives/replacement.h"

#include <utility>
#include <vector>

#include "base/log.h"
#include "codec/hex.h"
#include "runtime/lives/engine_switches.h"
#include "runtime/models/decide.h"
#include "runtime/streams/canary.h"

namespace aioss::runtime {
namespace {

namespace kind = ledger::decision_kind;
namespace outcome = ledger::decision_outcome;

// Then requests go on with the old one, and a later try may find room for both.
constexpr std::int64_t kDrainMaxNs = 120'000'000'000;

std::string sha256_of(const Life* life) {
  return life != nullptr && life->hash ? codec::to_hex(life->hash->sha256) : "unknown";
}

}  // namespace

void Replacement::look(Model& model) {
  Life* const coming = model.coming();
  if (coming != nullptr && coming->outdated) {
    return parts_.host.drop(*coming, {Code::kCancelled, "its file or settings are others again"});
  }
  for (Life* const life : model.all()) {
    if (life->role == Life::Role::kLeaving || life->drains) {
      parts_.host.end_if_idle(*life, ledger::unload_reason::kNewFile);
    }
  }
  Life* const serving = model.serving;
  if (serving != nullptr && serving->drains) end_drain_if_vain(*serving);
  const bool is_old = serving != nullptr && serving->phase == Phase::kReady && serving->outdated;
  if (!is_old || serving->drains || coming != nullptr || model.unload_ordered) return;
  if (parts_.models.entry(model.name) == nullptr) return;  // it is gone, and nothing comes
  if (model.replacement_failures.must_wait(parts_.clock.monotonic_ns())) return;
  log::info("a model has another file or other settings, which are loaded beside it",
            {{"model", model.name}});
  parts_.engines.begins(model);
  parts_.host.begin_beside(model);
}

// Those who wait are not to wait for ever: for somebody who reads slowly, or for what is not to
// come any more.
void Replacement::end_drain_if_vain(Life& serving) {
  Model& model = serving.model;
  const bool is_past = !serving.outdated || parts_.models.entry(model.name) == nullptr;
  const std::int64_t now = parts_.clock.monotonic_ns();
  if (!is_past && now - serving.drains_since_ns < kDrainMaxNs) return;
  if (!is_past) {
    has_failed(model, {Code::kBusy,
                       "requests of the old one do not end, and there is no room "
                       "for both"});
  }
  parts_.host.replace_no_more(model);
}

void Replacement::has_no_room(Life& coming) {
  Model& model = coming.model;
  Life* const serving = model.serving;
  parts_.host.drop(coming, {Code::kNoMemory, "there is no room for both"});
  if (serving == nullptr) return;
  log::info("there is no room for the new file of a model beside the old one: it drains first",
            {{"model", model.name}});
  decide(parts_.tally, kind::kReplacement, outcome::kChosen, ledger::replacement_reason::kInTurn,
         model, {"old sha256=" + sha256_of(serving)});
  serving->drains = true;
  serving->drains_since_ns = parts_.clock.monotonic_ns();
  parts_.host.end_if_idle(*serving, ledger::unload_reason::kNewFile);
}

void Replacement::was_loaded(Life& coming) {
  if (!parts_.ask_canary) return succeed(coming, "no canary");
  if (parts_.engines.tries(coming)) return;
  const auto asked = parts_.ask_canary(canary_call(coming.model.name, coming.number));
  if (!asked) reject(coming, asked.error());
}

void Replacement::canary_ended(Life& coming, Stream& canary) {
  const Result<std::uint32_t> tokens = canary_answer(canary);
  if (tokens) return succeed(coming, "canary tokens=" + std::to_string(*tokens));
  reject(coming, {tokens.error().code, "it did not answer its canary: " + tokens.error().message});
}

void Replacement::tried(Life& coming, const Result<std::string>& found) {
  found ? succeed(coming, *found) : reject(coming, found.error());
}

void Replacement::reject(Life& coming, const Error& why) {
  parts_.host.drop(coming, why);
  has_failed(coming.model, why);
}

void Replacement::succeed(Life& coming, std::string_view how) {
  Model& model = coming.model;
  model.replacement_failures.forget();
  decide(parts_.tally, kind::kReplacement, outcome::kChosen, ledger::replacement_reason::kBeside,
         model,
         {"old sha256=" + sha256_of(model.serving), "new sha256=" + sha256_of(&coming),
          std::string(how)});
  log::info("a model's new file takes its requests from now on", {{"model", model.name}});
  const std::uint64_t left = model.serving == nullptr ? 0 : model.serving->number;
  parts_.host.take_over(coming);
  parts_.engines.taken_over(coming, left);
}

void Replacement::has_failed(Model& model, const Error& why) {
  log::error("a model's new file or settings cannot be used; the old one goes on",
             {{"model", model.name}, {"reason", why.message}});
  decide(parts_.tally, kind::kReplacement, outcome::kFailed, info(why.code).name, model);
  model.replacement_failures.note(why, {}, parts_.clock.monotonic_ns());
  model.last_error = Error{why.code,
                           "its new file or settings cannot be used, and the old one "
                           "goes on: " +
                               why.message};
  parts_.engines.failed(model, why);
}

}  // namespace aioss::runtime
