// All models that somebody asked for, with their lives, and the catalogue that they are of. Owns
// models and lives; everybody else borrows them. Runtime thread only.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/catalogue/catalogue.h"
#include "runtime/models/model.h"

namespace aioss::runtime {

class ModelTable final {
 public:
  using Priorities = std::map<std::string, int, std::less<>>;
  using Models = std::map<std::string, std::unique_ptr<Model>, std::less<>>;  // by name
  ModelTable(Catalogue catalogue, Priorities priorities)
      : catalogue_(std::move(catalogue)), priorities_(std::move(priorities)) {}

  // The catalogue.
  const Catalogue& catalogue() const { return catalogue_; }
  Catalogue replace_catalogue(Catalogue catalogue);                  // returns the one before
  const CatalogueEntry* entry(const std::string& model) const;       // null: it has none such
  const ModelSettings& settings_of(const std::string& model) const;  // its own
  // As its own setting; "": it has none.
  void set_engine(const std::string& model, const std::string& engine);
  // What measuring chose for it.
  void set_tuned(const std::string& model, std::optional<TuneCandidate> tuned);
  const std::string& real_name(const std::string& name) const;  // of an alias
  std::int64_t priority_of(const Model& model) const;

  // Models.
  Model& of(const std::string& name);  // made, if nobody has asked for it before
  const Model* find(const std::string& name) const;
  const Models& models() const { return models_; }

  // Lives. A new one serves, if none does; otherwise it is coming.
  Life& begin_life(Model& model);
  void serves(Life& life);  // from now on; the one that did, if there is one, is leaving
  // It is over, and found no more. Whoever works with it may go on: it is destroyed by bury().
  void end_life(Life& life);
  void bury();
  // By the names of their models. Some may end while they are looked at.
  std::vector<Life*> lives() const;
  Life* life(std::uint64_t number) const;              // null: it has ended
  Life* holder_life(const std::string& holder) const;  // by its name in the books
  std::size_t workers() const;  // processes that there are, or whose places are taken

 private:
  Catalogue catalogue_;
  const Priorities priorities_;  // of the options
  Models models_;
  std::vector<std::unique_ptr<Life>> over_;  // until bury()
  std::uint64_t lives_begun_ = 0;
};

}  // namespace aioss::runtime
