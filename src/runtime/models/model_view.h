// What the runtime thread shows of its models to all others. Thread-safe.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ipc/messages.h"
#include "runtime/calls/memory_report.h"
#include "runtime/calls/model_entry.h"
#include "runtime/calls/model_load.h"
#include "runtime/catalogue/catalogue.h"

namespace aioss::runtime {

class ModelView final {
 public:
  // Replaces the list of models. What is known of those that stay is kept.
  void set_catalogue(const Catalogue& catalogue);
  bool contains(std::string_view model) const;
  std::string resolve(std::string_view name) const;  // of an alias, its model
  std::vector<std::string> notices() const;

  struct State {  // of one model
    std::string state = "cold";
    float load_fraction = 0;
    std::optional<Error> last_error;
    std::optional<ipc::Ready> facts;
  };
  void set_state(const std::string& model, State state);
  void set_residence(const std::string& model, const Residence& residence);
  void set_engine(const std::string& model, EngineStatus status);
  void set_sha256(const std::string& model, std::string hex);
  std::optional<ModelEntry> entry(std::string_view model) const;
  std::vector<ModelEntry> entries() const;

  // Of a model; its name, state and streams are those of the entry.
  void set_load(const std::string& model, ModelLoad load);
  // Of the models that have a worker, or requests that wait for one.
  std::vector<ModelLoad> loads() const;
  std::optional<std::uint32_t> wait_seconds(const std::string& model) const;

  struct Totals {  // over all workers
    std::uint32_t workers = 0, running = 0, queued = 0;
    std::vector<std::string> confinement;
  };
  void set_totals(Totals totals);
  Totals totals() const;
  void set_memory(MemoryReport report);
  MemoryReport memory() const;

 private:
  mutable std::mutex mutex_;  // guards all that follows
  std::map<std::string, ModelEntry, std::less<>> models_;
  std::map<std::string, ModelLoad, std::less<>> loads_;
  std::map<std::string, std::string, std::less<>> aliases_;
  std::vector<std::string> notices_;
  Totals totals_;
  MemoryReport memory_;
};

}  // namespace aioss::runtime
