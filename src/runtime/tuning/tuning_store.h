// What measuring found, over restarts: a file in the state folder. An entry holds for files of the
// same device, inode, size and modification time that are computed under the same conditions
// (TuningBasis), by the same executable on a processor with the same abilities, number of cores
// included: of anything else the whole file is forgotten. It is read as a stranger's: bounded, with
// a checksum, each field checked; one that is damaged is an empty one, and the log says so.
//
// Format: canonical CBOR {0: version, 1: basis (32 bytes), 2: [entry, …], oldest first}, then the
// SHA-256 of it. An entry is {0: [device, inode, size, modified in ns, …, of each part], 1: the
// conditions as text, 2: the model's name, 3: when, in ns since 1970, 4: streams, 5: in time,
// 6: index of the choice, 7: why, 8: [measurement, …]}, a measurement {0: engine, 1: [threads,
// threads_batch, micro_batch, flash], 2: state, 3: reason, 4: [ns a token, the default's, …, of
// each regime]}.
//
// Thread-safe; all but find() and all() block on the disk.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "os/file.h"
#include "runtime/dry_runs/plan_store.h"
#include "runtime/tuning/tuning_search.h"

namespace aioss::runtime {

inline constexpr std::size_t kTuningsStoredMax = 128;    // models and conditions; the oldest goes
inline constexpr std::size_t kTuneMeasurementsMax = 64;  // of one
inline constexpr std::uint64_t kTuningFileBytesMax = std::uint64_t{4} << 20;

// Under which conditions a model is measured: engines with their builds, profile, geometry, what is
// fixed. One line of text.
struct TuningKey {
  FilesIdentity files;
  std::string conditions;
  auto operator<=>(const TuningKey&) const = default;
};

struct Tuning {
  std::string model;  // its name then, for people
  std::int64_t wall_ns = 0;
  TuningResult result;
};

class TuningStore final {
 public:
  // `directory` "": nothing is read or written. `executable` measures. The file system outlives the
  // store.
  TuningStore(os::FileSystem& fs, const std::string& directory, std::string executable);

  // What an earlier process left; until then the store is empty.
  void read();
  std::optional<Tuning> find(const TuningKey& key) const;
  // Oldest first.
  std::vector<std::pair<TuningKey, Tuning>> all() const;
  // What other processes have put into the file since, where it is newer than what is known.
  void take_in_newer();
  // Remembers and writes the file, with what others have put there meanwhile; a disk that refuses
  // is told to the log. Processes take turns by a lock on FILE.lock, for two seconds at most.
  void put(TuningKey key, Tuning tuning);

 private:
  struct Kept {
    Tuning tuning;
    std::uint64_t age = 0;  // the lower the older
  };
  std::unique_ptr<os::File> wait_for_turn();
  Status take_in(ByteView bytes);               // what is newer than known; with mutex_ held
  void remember(TuningKey key, Tuning tuning);  // with mutex_ held

  os::FileSystem& fs_;
  const std::string directory_;
  const std::string path_;  // "" for none
  const std::string executable_;
  mutable std::mutex mutex_;
  Digest basis_{};                  // guarded by mutex_; zeros: nothing is read or written
  std::map<TuningKey, Kept> kept_;  // guarded by mutex_
  std::uint64_t next_age_ = 0;      // guarded by mutex_
};

}  // namespace aioss::runtime
