#include "runtime/models/model_table.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace aioss::runtime {

// ---- the catalogue ------------------------------------------------------------------------------

Catalogue ModelTable::replace_catalogue(Catalogue catalogue) {
  return std::exchange(catalogue_, std::move(catalogue));
}

const CatalogueEntry* ModelTable::entry(const std::string& model) const {
  const auto found = catalogue_.models.find(model);
  return found == catalogue_.models.end() ? nullptr : &found->second;
}

const ModelSettings& ModelTable::settings_of(const std::string& model) const {
  static const ModelSettings kNone;
  const CatalogueEntry* const known = entry(model);
  return known == nullptr ? kNone : known->settings;
}

void ModelTable::set_engine(const std::string& model, const std::string& engine) {
  const auto found = catalogue_.models.find(model);
  if (found == catalogue_.models.end()) return;
  std::optional<std::string>& setting = found->second.settings.engine;
  setting.reset();
  if (!engine.empty()) setting = engine;
}

void ModelTable::set_tuned(const std::string& model, std::optional<TuneCandidate> tuned) {
  const auto found = catalogue_.models.find(model);
  if (found != catalogue_.models.end()) found->second.settings.tuned = std::move(tuned);
}

const std::string& ModelTable::real_name(const std::string& name) const {
  const auto alias = catalogue_.aliases.find(name);
  return alias == catalogue_.aliases.end() ? name : alias->second;
}

std::int64_t ModelTable::priority_of(const Model& model) const {
  return settings_of(model.name).priority.value_or(model.priority);
}

// ---- models -------------------------------------------------------------------------------------

Model& ModelTable::of(const std::string& name) {
  std::unique_ptr<Model>& model = models_[name];
  if (!model) {
    model = std::make_unique<Model>(name);
    const auto priority = priorities_.find(name);
    if (priority != priorities_.end()) model->priority = priority->second;
  }
  return *model;
}

const Model* ModelTable::find(const std::string& name) const {
  const auto found = models_.find(name);
  return found == models_.end() ? nullptr : found->second.get();
}

// ---- lives --------------------------------------------------------------------------------------

Life& ModelTable::begin_life(Model& model) {
  const bool alone = std::none_of(model.lives.begin(), model.lives.end(),
                                  [&](const auto& one) { return one->holder == model.name; });
  Life& life = *model.lives.emplace_back(std::make_unique<Life>(model, ++lives_begun_));
  // No model has a name with this character (is_model_name).
  life.holder = alone ? model.name : model.name + "#" + std::to_string(life.number);
  if (model.serving == nullptr) {
    model.serving = &life;
  } else {
    ASSERT(model.coming() == nullptr);
    life.role = Life::Role::kComing;
  }
  return life;
}

void ModelTable::serves(Life& life) {
  Model& model = life.model;
  ASSERT(model.serving != &life);
  if (model.serving != nullptr) model.serving->role = Life::Role::kLeaving;
  life.role = Life::Role::kServes;
  model.serving = &life;
}

void ModelTable::end_life(Life& life) {
  if (life.phase == Phase::kCold) return;
  life.phase = Phase::kCold;
  Model& model = life.model;
  model.was_exact = life.room.plan && life.room.plan->exact;
  if (model.serving == &life) model.serving = nullptr;
  const auto place = std::find_if(model.lives.begin(), model.lives.end(),
                                  [&](const auto& one) { return one.get() == &life; });
  over_.push_back(std::move(*place));
  model.lives.erase(place);
}

void ModelTable::bury() {
  over_.clear();
}

std::vector<Life*> ModelTable::lives() const {
  std::vector<Life*> all;
  for (const auto& [name, model] : models_) {
    for (const auto& life : model->lives) all.push_back(life.get());
  }
  return all;
}

Life* ModelTable::life(std::uint64_t number) const {
  for (const auto& [name, model] : models_) {
    if (Life* const found = model->life(number)) return found;
  }
  return nullptr;
}

Life* ModelTable::holder_life(const std::string& holder) const {
  for (const auto& [name, model] : models_) {
    for (const auto& life : model->lives) {
      if (life->holder == holder) return life.get();
    }
  }
  return nullptr;
}

std::size_t ModelTable::workers() const {
  const std::vector<Life*> all = lives();
  return static_cast<std::size_t>(std::count_if(
      all.begin(), all.end(), [](const Life* life) { return life->has_worker_or_place(); }));
}

}  // namespace aioss::runtime
