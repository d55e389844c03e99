// The LoRA adapters that a worker has, by the SHA-256 of their files, and the sets of them that its
// requests use. A set is adapters and scales in the order in which they were asked; what has scale
// 0 changes nothing and belongs to no set, so that who asks for nothing else computes with the
// others of the base model. Used by the engine thread alone; the model outlives the shelf.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "engine/engine.h"
#include "ipc/messages.h"

namespace aioss::worker {

struct AdapterSet {
  // Tells sets apart: the first bytes of a SHA3-256 of what was asked. 0: the base model's.
  std::uint64_t key = 0;
  std::vector<aioss_adapter_use> uses = {};
  std::vector<Digest> adapters = {};  // of uses
  std::uint32_t requests = 0;         // that use it
};

// Whose prefixes a request shares: the tenant's own number for the base model, and another one for
// each set. What was computed under one set is never found by another.
std::uint64_t prefix_tenant(std::uint64_t tenant, const AdapterSet& set);

struct AdapterSource {
  engine::Model* model = nullptr;    // null: there are no adapters
  int fd = -1;                       // of the memory that the gateway puts adapters into
  bool is_gguf = true;               // look at it with our own reader first
  std::uint32_t tokens_at_once = 0;  // in one graph
};

class AdapterShelf final {
 public:
  explicit AdapterShelf(const AdapterSource& source = {}) : source_(source) {}

  ipc::AdapterReport load(const ipc::LoadAdapter& wanted);
  ipc::AdapterReport unload(const Digest& adapter);

  // The set that these make, until it is given back; kNotFound if one of them is not here.
  Result<const AdapterSet*> take(std::span<const ipc::AdapterUse> wanted);
  void give_back(const AdapterSet& set);
  bool is_settled() const { return sets_.empty() && base_.requests == 0; }

 private:
  Result<std::unique_ptr<engine::Adapter>> open(const ipc::LoadAdapter& wanted) const;
  bool in_use(const Digest& adapter) const;

  const AdapterSource source_;
  struct Loaded {
    std::unique_ptr<engine::Adapter> adapter;
    std::uint32_t loads = 0;  // under two names of one content: as many unloads end it
  };
  std::map<Digest, Loaded> adapters_;
  std::map<std::uint64_t, AdapterSet> sets_;  // by key; those with requests
  AdapterSet base_;
};

}  // namespace aioss::worker
