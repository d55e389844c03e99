// What dry runs said, over restarts: a file in the state folder, so that the first load after a
// start does not wait for a process that says what is known. An entry holds for files of the same
// device, inode, size and modification time that are planned alike, by the same executable on a
// processor with the same abilities, number of cores included: of anything else the whole file is
// forgotten. It is read as a stranger's: bounded, with a checksum, each entry by the decoder that
// reads the children's words; one that is damaged is an empty one, and the log says so.
//
// Format: canonical CBOR {0: version, 1: basis (32 bytes), 2: [entry, …], oldest first}, then the
// SHA-256 of it. An entry is {0: [device, inode, size, modified in ns, …, of each part], 1: an
// ipc::PlanAsk, 2: an ipc::PlanReport}.
//
// Thread-safe; read() and put() block on the disk.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "ipc/plan.h"
#include "os/file.h"

namespace aioss::runtime {

// Of so many models and options; the oldest goes. Some 400 bytes each.
inline constexpr std::size_t kPlansStoredMax = 256;
inline constexpr std::uint64_t kPlanFileBytesMax = std::uint64_t{1} << 20;

// Device, inode, size and time of each part: is_same_file.
using FilesIdentity = std::vector<std::int64_t>;
FilesIdentity identity_of(const std::vector<os::FileInfo>& parts);

class PlanStore final {
 public:
  // `directory` "": nothing is read or written. `executable` plans. The file system outlives the
  // store.
  PlanStore(os::FileSystem& fs, const std::string& directory, std::string executable);

  // What an earlier process left; until then the store is empty.
  void read();
  std::optional<ipc::PlanReport> find(const FilesIdentity& files, const ipc::PlanAsk& ask) const;
  // Remembers and writes the file; a disk that refuses is told to the log. A part that was changed
  // less than two seconds before `now_wall_ns` is not remembered: another change could leave the
  // same time stamp. What depends on the moment, options and free memory, is left out.
  void put(const std::vector<os::FileInfo>& parts, const ipc::PlanAsk& ask,
           const ipc::PlanReport& report, std::int64_t now_wall_ns);

 private:
  using Key = std::pair<FilesIdentity, Bytes>;  // and the question, encoded
  struct Kept {
    ipc::PlanReport report;
    std::uint64_t age = 0;  // the lower the older
  };
  Status take_in(ByteView bytes);
  void remember(Key key, ipc::PlanReport report);  // with mutex_ held
  Bytes encode() const;                            // with mutex_ held

  os::FileSystem& fs_;
  const std::string directory_;
  const std::string path_;  // "" for none
  const std::string executable_;
  Digest basis_{};      // set by read(), before anybody asks
  std::mutex writing_;  // the file; taken before mutex_
  mutable std::mutex mutex_;
  std::map<Key, Kept> kept_;    // guarded by mutex_
  std::uint64_t next_age_ = 0;  // guarded by mutex_
};

}  // namespace aioss::runtime
