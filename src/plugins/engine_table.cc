#include "plugins/engine_table.h"

#include <algorithm>
#include <utility>

namespace aioss::plugins {

int plugin_descriptor(const EngineImage* engine) {
  if (engine == nullptr || engine->is_linked || !engine->file) return -1;
  return engine->file->get();
}

bool is_for_gpus(std::string_view engine) {
  const std::string_view backend = engine.substr(0, engine.find('-'));
  for (const std::string_view known : {"cuda", "vulkan", "metal", "hip", "sycl"}) {
    if (backend == known) return true;
  }
  return false;
}

EngineTable::EngineTable(std::vector<EngineImage> engines) {
  for (EngineImage& engine : engines) put(std::move(engine));
}

std::shared_ptr<const EngineImage> EngineTable::find(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  for (const auto& engine : engines_) {
    if (engine->name == name) return engine;
  }
  return nullptr;
}

Result<std::shared_ptr<const EngineImage>> EngineTable::get(std::string_view name) const {
  if (auto found = find(name)) return found;
  if (auto refusal = refusal_of(name)) return std::move(*refusal);
  std::string known;
  for (const auto& engine : all()) known += (known.empty() ? "" : ", ") + engine->name;
  return Error{Code::kUnsupported, "there is no engine '" + std::string(name) + "'; there " +
                                       (known.empty() ? "are none" : "is " + known)};
}

std::vector<std::shared_ptr<const EngineImage>> EngineTable::all() const {
  const std::lock_guard lock(mutex_);
  return engines_;
}

void EngineTable::put(EngineImage engine) {
  auto added = std::make_shared<const EngineImage>(std::move(engine));
  const std::lock_guard lock(mutex_);
  const auto at = std::lower_bound(engines_.begin(), engines_.end(), added,
                                   [](const auto& a, const auto& b) { return a->name < b->name; });
  if (at != engines_.end() && (*at)->name == added->name) {
    *at = std::move(added);
  } else {
    engines_.insert(at, std::move(added));
  }
}

void EngineTable::set_left_out(std::vector<LeftOut> engines) {
  const std::lock_guard lock(mutex_);
  left_out_ = std::move(engines);
}

// Whoever asks may be a client, to whom no path of this machine is told: only refusals of what an
// engine is, which name none, are passed on.
std::optional<Error> EngineTable::refusal_of(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  for (const LeftOut& one : left_out_) {
    if (one.name != name) continue;
    const bool may_be_told = one.why.code == Code::kUnsupported;
    return Error{Code::kUnsupported,
                 "engine '" + one.name + "' is installed, but left out: " +
                     (may_be_told ? one.why.message : "'aioss engine list' says why")};
  }
  return std::nullopt;
}

bool EngineTable::remove(std::string_view name) {
  const std::lock_guard lock(mutex_);
  return std::erase_if(engines_, [&](const auto& engine) { return engine->name == name; }) > 0;
}

}  // namespace aioss::plugins
