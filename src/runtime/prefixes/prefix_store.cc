#include "runtime/prefixes/prefix_store.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "os/shared_memory.h"
#include "runtime/catalogue/catalogue.h"

namespace aioss::runtime {

int PrefixStore::memory_for(const std::string& model, const std::vector<os::FileInfo>& files,
                            const Digest& computes, std::uint64_t bytes_max) {
  const std::uint64_t bytes = std::min(bytes_each_, bytes_max);
  if (bytes == 0) {
    drop(model);
    return -1;
  }
  const auto known = held_.find(model);
  if (known != held_.end()) {
    const Held& there = known->second;
    const bool is_same =
        there.computes == computes && std::equal(files.begin(), files.end(), there.files.begin(),
                                                 there.files.end(), is_same_file);
    if (!is_same || there.bytes / 2 > bytes) held_.erase(known);
  }
  Held& held = held_[model];
  held.started = ++started_;
  held.runs = true;
  held.files = files;
  held.computes = computes;
  held.is_new = held.memory == nullptr;
  if (held.taken_back) held.taken_back->store(true);
  held.taken_back.reset();
  if (held.is_new) {
    Result<os::Fd> memory = os::create_shared_memory("aioss-prefixes", bytes);
    if (!memory) {
      log::warn("prompts are computed anew each time", {{"reason", memory.error().message}});
      held_.erase(model);
      return -1;
    }
    held.memory = std::make_shared<const os::Fd>(std::move(*memory));
    held.bytes = bytes;
  }
  make_room();
  return held.memory->get();
}

bool PrefixStore::is_new(std::string_view model) const {
  const auto held = held_.find(model);
  return held != held_.end() && held->second.is_new;
}

void PrefixStore::identify(std::string_view model, const Digest& identity) {
  const auto held = held_.find(model);
  if (held == held_.end()) return;
  std::optional<Digest>& known = held->second.identity;
  if (known && *known != identity) held->second.is_mixed = true;
  known = identity;
}

void PrefixStore::add_owner(std::string_view model, const PrefixOwner& owner) {
  const auto held = held_.find(model);
  if (held == held_.end() || held->second.owners.size() >= kPrefixOwnersMax) return;
  held->second.owners.insert_or_assign(owner_number(*owner.subject), owner);
}

PrefixMemory PrefixStore::memory_of(std::string_view model) const {
  const auto held = held_.find(model);
  return held == held_.end() ? nullptr : held->second.memory;
}

std::optional<PrefixesLeft> PrefixStore::left_by(std::string_view model) {
  const auto found = held_.find(model);
  if (found == held_.end()) return std::nullopt;
  Held& held = found->second;
  if (held.runs || !held.memory || !held.identity || held.owners.empty()) return std::nullopt;
  if (held.is_mixed) return std::nullopt;
  held.taken_back = std::make_shared<std::atomic<bool>>(false);
  return PrefixesLeft{held.memory, *held.identity, held.owners, 0, held.taken_back};
}

std::optional<std::uint64_t> PrefixStore::bytes_of(std::string_view model) const {
  const auto held = held_.find(model);
  if (held == held_.end() || !held->second.memory) return std::nullopt;
  return os::allocated_bytes(held->second.memory->get());
}

void PrefixStore::drop(std::string_view model) {
  const auto held = held_.find(model);
  if (held == held_.end()) return;
  if (held->second.taken_back) held->second.taken_back->store(true);  // the disk lets go, too
  held_.erase(held);
}

void PrefixStore::ended(std::string_view model) {
  const auto held = held_.find(model);
  if (held == held_.end()) return;
  held->second.runs = false;
  if (!held->second.memory) held_.erase(held);
}

void PrefixStore::clear() {
  std::erase_if(held_, [](const auto& entry) { return !entry.second.runs; });
  for (auto& [model, held] : held_) {
    held.memory.reset();
    held.owners.clear();
  }
}

// Those that run stay: their workers have them mapped anyhow.
void PrefixStore::make_room() {
  while (held_.size() > models_max_) {
    const auto first =
        std::min_element(held_.begin(), held_.end(), [](const auto& a, const auto& b) {
          return std::pair(a.second.runs, a.second.started) <
                 std::pair(b.second.runs, b.second.started);
        });
    if (first->second.runs) return;
    held_.erase(first);
  }
}

}  // namespace aioss::runtime
