// Memory for the prefix caches of workers, held here so that it outlives them: a worker that is
// killed or unloaded leaves what it has computed of prompts to the next one of the same model. What
// is on the disk of it is PrefixDisk's to bring and take. Runtime thread only.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "os/file.h"
#include "runtime/prefixes/prefix_disk.h"

namespace aioss::runtime {

class PrefixStore final {
 public:
  // Of each model so many bytes, used as they are needed; 0: none. Of as many models at once, those
  // that run and the ones that did last.
  PrefixStore(std::uint64_t bytes_each, std::size_t models_max)
      : bytes_each_(bytes_each), models_max_(models_max) {}

  // For a new worker of this model, with these files: what the last one left, if they are the same
  // and so is `computes`, a hash of all else that its states depend on. -1: none is to be had, and
  // it does without. Valid until the next call.
  // New memory has `bytes_max` at most; what there is stays if it is not more than twice as large.
  int memory_for(const std::string& model, const std::vector<os::FileInfo>& files,
                 const Digest& computes = {}, std::uint64_t bytes_max = ~std::uint64_t{0});
  // Nobody has had it before: there may be something on the disk.
  bool is_new(std::string_view model) const;
  // What a worker computes with, as long as it runs, and whose prompts it gets. Whoever comes after
  // the first kPrefixOwnersMax leaves nothing on the disk.
  void identify(std::string_view model, const Digest& identity);
  void add_owner(std::string_view model, const PrefixOwner& owner);
  PrefixMemory memory_of(std::string_view model) const;  // null: none
  // For the disk, once it has no worker; nothing: there is nothing that could be.
  std::optional<PrefixesLeft> left_by(std::string_view model);
  // There is no worker of this model any more.
  void ended(std::string_view model);
  // It ended from inside: nothing of it is trusted.
  void drop(std::string_view model);
  // What its memory takes now. Nothing: there is none here, or the worker that runs has it alone.
  std::optional<std::uint64_t> bytes_of(std::string_view model) const;
  // Workers that run keep what they have mapped, and clear it; the next ones begin anew.
  void clear();

 private:
  struct Held {
    PrefixMemory memory;  // null: the worker that runs has it alone
    std::optional<Digest> identity;
    PrefixOwners owners;
    std::shared_ptr<std::atomic<bool>> taken_back;  // of what was given to the disk
    bool is_new = true;
    bool is_mixed = false;  // of workers with different settings: entries have no one identity
    std::vector<os::FileInfo> files;
    Digest computes{};
    std::uint64_t started = 0;  // counts workers
    std::uint64_t bytes = 0;    // at most
    bool runs = false;
  };
  void make_room();

  const std::uint64_t bytes_each_;
  const std::size_t models_max_;
  std::uint64_t started_ = 0;
  std::map<std::string, Held, std::less<>> held_;
};

}  // namespace aioss::runtime
