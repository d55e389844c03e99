#include "runtime/prefix_store.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "os/shared_memory.h"
#include "runtime/catalogue.h"

namespace aioss::runtime {

int PrefixStore::memory_for(const std::string& model, const std::vector<os::FileInfo>& files) {
  if (bytes_each_ == 0) return -1;
  const auto known = held_.find(model);
  if (known != held_.end() && !std::equal(files.begin(), files.end(), known->second.files.begin(),
                                          known->second.files.end(), is_same_file)) {
    held_.erase(known);
  }
  Held& held = held_[model];
  held.started = ++started_;
  held.files = files;
  if (!held.memory.valid()) {
    Result<os::Fd> memory = os::create_shared_memory("aioss-prefixes", bytes_each_);
    if (!memory) {
      log::warn("prompts are computed anew each time", {{"reason", memory.error().message}});
      held_.erase(model);
      return -1;
    }
    held.memory = std::move(*memory);
  }
  make_room();
  return held.memory.get();
}

void PrefixStore::drop(std::string_view model) {
  const auto held = held_.find(model);
  if (held != held_.end()) held_.erase(held);
}

void PrefixStore::make_room() {
  while (held_.size() > models_max_) {
    held_.erase(std::min_element(held_.begin(), held_.end(), [](const auto& a, const auto& b) {
      return a.second.started < b.second.started;
    }));
  }
}

}  // namespace aioss::runtime
