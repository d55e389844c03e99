// Takes what workers leave of prompts to the disk, and brings it back into the memory of a model
// that is loaded by a gateway that was started anew. Sealed under the keys of those whose prompts
// they were: ledger/custody/prefix_files.h. One thread, `prefixes`, that does nothing else, so that
// nobody waits for the disk but the load that wants something from it, and that not for long.
//
// The memory was filled by a worker, which nobody trusts: its entries are copied once they have
// passed the same checks that the next worker makes (ipc/prefix_memory.h), and only those of owners
// whose requests that model had, in their tenants. Nothing in them is looked at. Memory that a
// worker gets again is taken back first: what was being copied of it is thrown away.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "ipc/messages.h"
#include "ledger/custody/custody.h"
#include "os/file.h"
#include "os/shared_memory.h"

namespace aioss::runtime {

using PrefixMemory = std::shared_ptr<const os::Fd>;

struct PrefixOwner {
  ledger::SubjectPtr subject;
  std::string tenant;  // as turn_name() has it: who shares what was computed of their prompts
};
using PrefixOwners = std::map<std::uint64_t, PrefixOwner>;  // by owner_number()
// As workers are told: a part of the subject's id, the same after a restart.
std::uint64_t owner_number(const ledger::Subject& subject);

// What a state depends on. Another of these, and it is computed anew. Settings that no state
// depends on are left out by name, so that a new one counts.
Digest prefix_identity(const Digest& model_sha256, const Digest& program, ipc::Configure configured,
                       const ipc::Ready& ready);

struct PrefixesLeft {  // by a worker that has ended
  PrefixMemory memory;
  Digest identity{};
  PrefixOwners owners;
  double prefill_ns_per_token = 0;                      // as that worker measured it; 0: it did not
  std::shared_ptr<const std::atomic<bool>> taken_back;  // another worker has the memory
};

inline constexpr std::size_t kPrefixOwnersMax = 4'096;  // of one model
inline constexpr std::size_t kPrefixFilesMax = 4'096;
// A shorter one is computed in no time.
inline constexpr std::uint32_t kPrefixTokensOnDiskMin = 128;

class PrefixDisk final {
 public:
  // Of all models together so many bytes; 0: everything that is there is destroyed, and nothing
  // comes. `models_max`: as many may be left, and wait to be restored, at once. The references
  // outlive it.
  PrefixDisk(ledger::Custody& custody, const Clock& clock, std::uint64_t bytes_max,
             std::size_t models_max);
  ~PrefixDisk();  // as finish(), but waits for nothing that has not begun
  PrefixDisk(const PrefixDisk&) = delete;
  PrefixDisk& operator=(const PrefixDisk&) = delete;

  // Into new memory, of which nobody else takes note before `done`: newest first, as many as there
  // is room for and come in time. `done` is called once, on whichever thread: at once, if too much
  // waits. Neither blocks.
  using Done = std::function<void(PrefixOwners)>;
  void restore(PrefixMemory memory, const Digest& identity, Done done);
  void save(PrefixesLeft left);
  // Nothing new comes. Waits for what was left, at most so long and for the entry under way.
  void finish(std::chrono::milliseconds patience);

 private:
  struct Restoring {
    PrefixMemory memory;
    Digest identity{};
    Done done;
  };
  struct Saving {
    PrefixesLeft left;
    std::optional<os::SharedMapping> mapped;
    std::uint32_t next = 0;           // entry
    std::set<std::string> kept = {};  // names of files that this memory has, too
  };
  struct Found {  // an entry that may go to the disk
    const PrefixOwner* owner = nullptr;
    ledger::PrefixFiles::Prefix prefix;
  };

  void run();
  void tidy();
  void restore_now(const Restoring& wanted);
  bool begin(Saving& saving);
  bool save_next(Saving& saving);  // false: that was all
  std::optional<Found> entry(const Saving& saving, std::uint32_t number) const;
  bool is_worth_it(const Saving& saving, const ledger::PrefixFiles::Prefix& prefix) const;
  bool make_room(std::uint64_t bytes, const std::set<std::string>& kept);
  void look();

  ledger::Custody& custody_;
  ledger::PrefixFiles& files_;
  const Clock& clock_;
  const std::uint64_t bytes_max_;
  const std::size_t jobs_max_;
  std::vector<ledger::PrefixFiles::File> there_;  // the thread's: newest last; some may be gone
  std::atomic<bool> given_up_{false};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Restoring> restores_;  // guarded by mutex_
  std::deque<Saving> saves_;        // guarded by mutex_; the front one is the thread's
  bool finishing_ = false;          // guarded by mutex_
  bool ended_ = false;              // guarded by mutex_
  std::thread thread_;
};

// Null if nothing is said of `bytes_max`. `workers_max`: models that are loaded at once.
std::unique_ptr<PrefixDisk> open_prefix_disk(ledger::Custody& custody, const Clock& clock,
                                             std::optional<std::uint64_t> bytes_max,
                                             std::size_t workers_max);

}  // namespace aioss::runtime
