#include "runtime/models/model_view.h"

#include <utility>

namespace aioss::runtime {

void ModelView::set_catalogue(const Catalogue& catalogue) {
  std::lock_guard lock(mutex_);
  std::map<std::string, ModelEntry, std::less<>> models;
  for (const auto& [name, found] : catalogue.models) {
    ModelEntry entry;
    entry.state = "cold";
    if (auto known = models_.find(name); known != models_.end()) entry = std::move(known->second);
    if (entry.file_bytes != found.file_bytes || entry.modified_unix_s != found.modified_unix_s) {
      entry.sha256.clear();
    }
    entry.aliases.clear();
    entry.adapters = adapters_of(catalogue, found);
    entry.name = name;
    entry.engine = found.engine;
    if (entry.engine_status.orders == 0) {
      entry.engine_status.engine = found.settings.engine.value_or(
          found.settings.tuned ? found.settings.tuned->engine : found.engine);
    }
    entry.file_bytes = found.file_bytes;
    entry.modified_unix_s = found.modified_unix_s;
    if (found.problem) {
      entry.state = "failed";
      entry.last_error = found.problem;
    } else if (entry.state == "failed") {  // it may have been mended
      entry.state = "cold";
      entry.last_error.reset();
    }
    models.emplace(name, std::move(entry));
  }
  for (const auto& [alias, name] : catalogue.aliases) models.at(name).aliases.push_back(alias);
  models_ = std::move(models);
  aliases_ = catalogue.aliases;
  notices_ = catalogue.notices;
}

bool ModelView::contains(std::string_view model) const {
  std::lock_guard lock(mutex_);
  return models_.contains(model);
}

std::string ModelView::resolve(std::string_view name) const {
  std::lock_guard lock(mutex_);
  const auto found = aliases_.find(name);
  return found == aliases_.end() ? std::string(name) : found->second;
}

std::vector<std::string> ModelView::notices() const {
  std::lock_guard lock(mutex_);
  return notices_;
}

void ModelView::set_state(const std::string& model, State state) {
  std::lock_guard lock(mutex_);
  const auto found = models_.find(model);
  if (found == models_.end()) return;  // its file is gone
  found->second.state = std::move(state.state);
  found->second.load_fraction = state.load_fraction;
  found->second.last_error = std::move(state.last_error);
  found->second.facts = std::move(state.facts);
}

void ModelView::set_residence(const std::string& model, const Residence& residence) {
  std::lock_guard lock(mutex_);
  const auto found = models_.find(model);
  if (found != models_.end()) found->second.residence = residence;
}

void ModelView::set_engine(const std::string& model, EngineStatus status) {
  std::lock_guard lock(mutex_);
  const auto found = models_.find(model);
  if (found != models_.end()) found->second.engine_status = std::move(status);
}

void ModelView::set_sha256(const std::string& model, std::string hex) {
  std::lock_guard lock(mutex_);
  const auto found = models_.find(model);
  if (found != models_.end()) found->second.sha256 = std::move(hex);
}

std::optional<ModelEntry> ModelView::entry(std::string_view model) const {
  std::lock_guard lock(mutex_);
  const auto found = models_.find(model);
  if (found == models_.end()) return std::nullopt;
  return found->second;
}

std::vector<ModelEntry> ModelView::entries() const {
  std::lock_guard lock(mutex_);
  std::vector<ModelEntry> list;
  for (const auto& [name, entry] : models_) list.push_back(entry);
  return list;
}

void ModelView::set_load(const std::string& model, ModelLoad load) {
  std::lock_guard lock(mutex_);
  loads_.insert_or_assign(model, std::move(load));
}

std::vector<ModelLoad> ModelView::loads() const {
  std::lock_guard lock(mutex_);
  std::vector<ModelLoad> list;
  for (const auto& [name, load] : loads_) {
    const auto entry = models_.find(name);
    ModelLoad shown = load;
    shown.name = name;
    if (entry != models_.end()) {
      shown.state = entry->second.state;
      shown.load_fraction = entry->second.load_fraction;
      shown.residence = entry->second.residence;
      if (entry->second.last_error) shown.error = entry->second.last_error->message;
      if (entry->second.facts) {
        shown.streams = entry->second.facts->streams;
        shown.cells_per_stream = entry->second.facts->cells_per_stream;
      }
    }
    const bool cold = shown.state.empty() || shown.state == "cold";
    if (!cold || shown.has_work()) list.push_back(std::move(shown));
  }
  return list;
}

std::optional<std::uint32_t> ModelView::wait_seconds(const std::string& model) const {
  std::lock_guard lock(mutex_);
  const auto found = loads_.find(model);
  return found == loads_.end() ? std::nullopt : found->second.wait_seconds;
}

void ModelView::set_totals(Totals totals) {
  std::lock_guard lock(mutex_);
  totals_ = std::move(totals);
}

void ModelView::set_memory(MemoryReport report) {
  std::lock_guard lock(mutex_);
  memory_ = std::move(report);
}

MemoryReport ModelView::memory() const {
  std::lock_guard lock(mutex_);
  return memory_;
}

ModelView::Totals ModelView::totals() const {
  std::lock_guard lock(mutex_);
  return totals_;
}

}  // namespace aioss::runtime
