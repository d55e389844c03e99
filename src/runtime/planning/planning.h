// What `aioss plan` and GET /admin/plan answer: what a model would take, whether it fits now, and
// if it does not, what would. Reads the catalogue's folder and asks a planner. Blocks; thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "codec/json.h"
#include "os/memory.h"
#include "runtime/calls/memory_report.h"
#include "runtime/dry_runs/child_planner.h"
#include "runtime/dry_runs/places.h"
#include "runtime/planning/engine_choices.h"
#include "runtime/planning/plan_answer.h"
#include "runtime/settings/gateway_options.h"
#include "runtime/tuning/tuning_store.h"

namespace aioss::runtime {

// The engine that an operator has chosen for it, or for all; nothing: nobody has.
std::optional<std::string> engine_by_operator(const CatalogueEntry& entry,
                                              const GatewayOptions& options);
// What a worker of this model is started with, by its own settings and the server's; but not where
// its layers are, which Places find.
PlanWanted wanted_of(const CatalogueEntry& entry, const GatewayOptions& options);
// The places where they are tried, in order: DeviceTable::candidates().
std::vector<std::string> devices_for(const CatalogueEntry& entry, const GatewayOptions& options);

class Planning final {
 public:
  struct Parts {  // all outlive it
    os::FileSystem& fs;
    const GatewayOptions& options;
    ChildPlanner& planner;
    std::function<Result<os::MemoryState>()> memory = [] { return os::memory_state(); };
    // The books of a gateway that runs, which say what is free and who would go; empty: there are
    // none, and what the system says holds.
    std::function<MemoryReport()> books = {};
    const EngineChoices* engines = nullptr;  // what operators have chosen; null: nothing
    const TuningStore* tunings = nullptr;    // what was measured; null: nothing
  };
  explicit Planning(Parts parts) : parts_(std::move(parts)) {}

  // kNotFound: no such model. kInvalidArgument: a number out of range, or a KV type that nobody
  // knows. Otherwise as the planner.
  Result<PlanAnswer> answer(const PlanCall& call) const;

 private:
  struct Wanted {
    PlanWanted plan;
    Places places;
  };
  Result<Wanted> wanted_by(const PlanCall& call, const Catalogue& catalogue,
                           CatalogueEntry entry) const;
  std::vector<std::uint64_t> rooms_on(const std::string& devices, bool is_ordered,
                                      const MemoryReport& report) const;
  Result<PlanSurvey> find_place(const std::shared_ptr<const OpenModel>& files, Wanted& wanted,
                                const MemoryReport& report, std::uint64_t room) const;
  void add_other_quantizations(const Catalogue& catalogue, const PlanWanted& wanted,
                               std::uint64_t free, PlanAnswer& answer) const;

  const Parts parts_;
};

// "SmolLM2-135M-Instruct" of "SmolLM2-135M-Instruct.Q4_1": the name without its quantization.
std::string base_name(std::string_view model);

codec::OrderedJson plan_json(const PlanAnswer& answer);

}  // namespace aioss::runtime
