#include "runtime/requests/quarantine.h"

#include <algorithm>
#include <string>

#include "crypto/hash.h"

namespace aioss::runtime {
namespace {

bool are_same_files(const std::vector<os::FileInfo>& a, const std::vector<os::FileInfo>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), is_same_file);
}

// Another file of the same name is another adapter.
ipc::AdapterUse use_of(const AdapterWish& wish, const Catalogue& catalogue) {
  std::string text = wish.name;
  const auto entry = catalogue.adapters.find(wish.name);
  if (entry != catalogue.adapters.end()) {
    const os::FileInfo& file = entry->second.file;
    text += '\0' + std::to_string(file.size) + ' ' + std::to_string(file.modified_ns) + ' ' +
            std::to_string(file.device) + ' ' + std::to_string(file.inode);
  }
  return {crypto::sha3_256(as_bytes(text)), wish.scale};
}

}  // namespace

// A list of what counts, so that a field that is added later does not count by accident.
Digest content_of(const ipc::Submit& request, const std::vector<AdapterWish>& adapters,
                  const Catalogue& catalogue) {
  ipc::Submit content;
  content.prompt = request.prompt;
  content.sampling = request.sampling;
  content.sampling.seed = 0;
  content.choices = request.choices;
  content.tokens_max = request.tokens_max;
  content.stop = request.stop;
  content.ignore_eos = request.ignore_eos;
  content.logprobs = request.logprobs;
  content.top_logprobs = request.top_logprobs;
  for (const AdapterWish& wish : adapters) content.adapters.push_back(use_of(wish, catalogue));
  return crypto::sha3_256(ipc::encode(content));
}

void Quarantine::add(const Digest& content, const Engine& engine, const Digest& model,
                     const std::vector<os::FileInfo>& parts) {
  std::erase_if(entries_, [&](const Entry& entry) {
    return entry.is_of(content, engine) && entry.model == model;
  });
  if (entries_.size() >= kQuarantinedMax) entries_.pop_back();
  entries_.push_front({content, engine, model, parts});
}

bool Quarantine::knows(const Digest& content) const {
  return std::any_of(entries_.begin(), entries_.end(),
                     [&](const Entry& entry) { return entry.content == content; });
}

bool Quarantine::seen(Entries::iterator entry) {
  if (entry == entries_.end()) return false;
  entries_.splice(entries_.begin(), entries_, entry);
  return true;
}

bool Quarantine::holds(const Digest& content, const Engine& engine, const Digest& model) {
  return seen(std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) {
    return entry.is_of(content, engine) && entry.model == model;
  }));
}

bool Quarantine::holds(const Digest& content, const Engine& engine,
                       const std::vector<os::FileInfo>& parts) {
  return seen(std::find_if(entries_.begin(), entries_.end(), [&](const Entry& entry) {
    return entry.is_of(content, engine) && are_same_files(entry.parts, parts);
  }));
}

}  // namespace aioss::runtime
