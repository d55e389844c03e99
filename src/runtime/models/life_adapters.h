// What one life of a model has of adapters (adapters.h). Owned by the life; runtime thread only.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <set>

#include "ipc/messages.h"
#include "memory/pool.h"
#include "os/memory_file.h"
#include "runtime/catalogue/catalogue.h"

namespace aioss::runtime {

struct AdapterOfLife {
  AdapterEntry entry;  // as it was when its bytes were taken
  Digest sha256{};     // of these
  std::uint32_t rank = 0;
  std::uint64_t load_record = 0;
  memory::Lease lease;
  std::set<ipc::RequestId> users;
  std::int64_t last_used_ns = 0;
  std::int64_t wanted_ns = 0;  // a request that waits has seen it last; 0: none does
  bool leaves = false;         // nobody gets it any more
};

struct LifeAdapters {
  std::shared_ptr<os::MemoryFile> memory;  // where its worker finds them; null: it gets none
  std::list<AdapterOfLife> loaded;
  // One thing at a time: the next adapter's bytes are taken, the worker loads it, that is recorded;
  // or one that is loaded is given up.
  enum class Step { kNone, kCopies, kLoads, kRecords, kUnloads } step = Step::kNone;
  // When the worker was told to load or unload, or when the copier was last seen to get on.
  std::int64_t ordered_ns = 0;
  std::uint64_t copy = 0;      // the number of the one under way
  std::uint64_t progress = 0;  // of the copier, then
  std::shared_ptr<std::atomic<bool>> copy_given_up;
  std::optional<AdapterOfLife> coming;  // but for kUnloads
  memory::Lease compute;                // what calls under any of them may take beside
};

}  // namespace aioss::runtime
