// SHA-256 digests of model files, remembered over restarts, so that a start does not read 40 GB
// again. An entry holds for a file with the same device, inode, size and modification time, and the
// ledger says of every load whether its hash was computed or remembered. The file on disk is a
// convenience: one that is damaged or missing is an empty cache. Thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>

#include "base/bytes.h"
#include "os/file.h"

namespace aioss::runtime {

// Whoever remembers something of a file's content waits for so long after its last change: another
// one could leave the same time stamp.
inline constexpr std::int64_t kSettledNs = 2'000'000'000;

class HashCache final {
 public:
  // `directory` "": nothing is read or written. The file system outlives the cache. Blocks on the
  // disk.
  HashCache(os::FileSystem& fs, const std::string& directory);

  std::optional<Digest> find(const os::FileInfo& file) const;
  // Remembers and writes the file; a disk that refuses is ignored. A file that was changed less
  // than kSettledNs before `now_wall_ns` is not remembered.
  void put(const os::FileInfo& file, const Digest& digest, std::int64_t now_wall_ns);

  // Device, inode, size and modification time: files of equal keys count as the same content.
  using Key = std::tuple<std::uint64_t, std::uint64_t, std::uint64_t, std::int64_t>;
  static Key key_of(const os::FileInfo& file);

 private:
  void read();
  Bytes encode() const;  // with mutex_ held

  os::FileSystem& fs_;
  std::string directory_;
  std::string path_;  // "" for none
  mutable std::mutex mutex_;
  std::map<Key, Digest> entries_;  // guarded by mutex_
};

}  // namespace aioss::runtime
