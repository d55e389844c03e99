#include "runtime/prefix_store.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "os/shared_memory.h"
#include "runtime/catalogue.h"

namespace aioss::runtime {

int PrefixStore::memory_for(const std::string& model, const std::vector<os::FileInfo>& files,
                            std::uint64_t bytes_max) {
  const std::uint64_t bytes = std::min(bytes_each_, bytes_max);
  if (bytes == 0) {
    drop(model);
    return -1;
  }
  const auto known = held_.find(model);
  if (known != held_.end() && !std::equal(files.begin(), files.end(), known->second.files.begin(),
                                          known->second.files.end(), is_same_file)) {
    held_.erase(known);
  } else if (known != held_.end() && known->second.bytes / 2 > bytes) {
    held_.erase(known);
  }
  Held& held = held_[model];
  held.started = ++started_;
  held.runs = true;
  held.files = files;
  if (!held.memory.valid()) {
    Result<os::Fd> memory = os::create_shared_memory("aioss-prefixes", bytes);
    if (!memory) {
      log::warn("prompts are computed anew each time", {{"reason", memory.error().message}});
      held_.erase(model);
      return -1;
    }
    held.memory = std::move(*memory);
    held.bytes = bytes;
  }
  make_room();
  return held.memory.get();
}

std::optional<std::uint64_t> PrefixStore::bytes_of(std::string_view model) const {
  const auto held = held_.find(model);
  if (held == held_.end() || !held->second.memory.valid()) return std::nullopt;
  return os::allocated_bytes(held->second.memory.get());
}

void PrefixStore::drop(std::string_view model) {
  const auto held = held_.find(model);
  if (held != held_.end()) held_.erase(held);
}

void PrefixStore::ended(std::string_view model) {
  const auto held = held_.find(model);
  if (held == held_.end()) return;
  held->second.runs = false;
  if (!held->second.memory.valid()) held_.erase(held);
}

void PrefixStore::clear() {
  std::erase_if(held_, [](const auto& entry) { return !entry.second.runs; });
  for (auto& [model, held] : held_) held.memory.reset();
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
