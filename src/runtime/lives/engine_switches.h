// Switches models from one engine to another while they serve (docs/engine-switch.md). Starting the
// new one beside the old one is Replacement's; here is what is particular to engines: orders, the
// canary that compares both, streams that move at a token boundary, and the way back, if the new
// one fails its canary, cannot be loaded, or crashes twice.
//
// A switch that settings have caused goes the same way, but it is not undone in them. Runtime
// thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "runtime/calls/engine_order.h"
#include "runtime/calls/generate_call.h"
#include "runtime/models/model_table.h"
#include "runtime/models/model_view.h"
#include "runtime/planning/engine_choices.h"
#include "runtime/records/tally.h"
#include "runtime/requests/requests.h"
#include "runtime/settings/gateway_options.h"

namespace aioss::runtime {

class Replacement;

// One that crashes twice within this time after it took over is left again.
inline constexpr std::int64_t kEngineWatchNs = 600'000'000'000;
inline constexpr std::uint32_t kEngineCrashesMax = 2;

class EngineSwitches final {
 public:
  // Has a canary submitted; never blocks.
  using AskCanary = std::function<Result<ipc::RequestId>(GenerateCall)>;
  struct Parts {  // all outlive it
    const GatewayOptions& options;
    const Clock& clock;
    Tally& tally;
    ModelTable& models;
    EngineChoices& choices;
    ModelView& view;
    Requests& requests;
    Replacement& replacement;
    AskCanary ask_canary;                     // null: none is asked
    std::function<void(Model&)> has_changed;  // what it is computed with: its lives are judged anew
  };
  explicit EngineSwitches(const Parts& parts) : parts_(parts) {}

  // kNotFound: no such engine. kConflict: not now, or not for this model.
  Status order(Model& model, const EngineOrder& order);

  // Of Replacement. tries(): it is another engine, and what comes of its canary is told by
  // Replacement::tried().
  void begins(Model& model);  // one is to come beside the one that serves
  bool tries(Life& coming);
  void taken_over(Life& serving, std::uint64_t left);
  void failed(Model& model, const Error& why);

  // Of requests. True: it was one of these canaries.
  bool canary_ended(Model& model, Stream& canary, ipc::RequestId id);

  // Of lives that serve. load_failed(): true if another engine is to be loaded instead.
  void began(const Life& life);
  bool load_failed(const Life& life, const Error& why);
  void died(const Life& life, bool from_inside);

  // In each turn; the less it does, the later it need be done again.
  void look(Model& model, std::int64_t now_ns);
  bool is_moving() const;

  void show(const Model& model);
  EngineStatus status(const Model& model) const;

 private:
  Status check_engine(const CatalogueEntry& entry, const std::string& engine) const;
  Status begin(Model& model, const EngineChoices::Choice& choice, bool goes_back);
  void note_unpinned(const Model& model, const std::optional<EngineChoices::Choice>& was);
  void take(Model& model, const std::string& engine);
  std::string engine_of(const Model& model) const;
  bool compares(const Life& coming) const;
  Status ask(Model& model, std::uint64_t life, bool of_running);
  void tried(Model& model);
  void give_up(Model& model, const Error& why);
  void take_back(Model& model, const Error& why);
  void undo(Model& model);
  bool take_file_back(const Model& model);
  void finish(Model& model, EngineSwitch::Outcome outcome, std::string reason);
  void end_if_dropped(Model& model);
  void move_all(Model& model, Life& from);
  void move_next(Model& model, std::int64_t now_ns);
  bool may_move(const Life& from, const Life& to) const;
  bool waits_for(EngineSwitch& state, const Life& to, ipc::RequestId next, std::int64_t now_ns);
  void end_round(EngineSwitch::Ahead& ahead, std::int64_t now_ns) const;
  static void cancel_ahead(const EngineSwitch& state, const Life& to);
  void record(const Model& model, std::string_view outcome, std::string_view reason,
              std::vector<std::string> details = {});

  const Parts parts_;
};

}  // namespace aioss::runtime
