// A disk in memory that forgets on a power cut whatever was not synced. It keeps two images: what
// programs see at once, and what is durable. A file's bytes become durable when that file is
// synced, names (create, rename, remove, a new directory) when their directory is.
// after_power_cut() gives the disk as the next boot finds it; the old one stays as it was, so that
// one run can be cut in many ways.
//
// A failed sync is the kernel's: the pages stay readable, count as clean, and no later sync writes
// them. Names are journalled; a sync that fails loses none of them. For tests. Thread-safe; files
// it opened must not outlive it.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "os/file.h"

namespace aioss::os {

struct PowerCut {
  enum class Keep {
    kNothing,  // of what was not synced
    kPrefix,   // some first writes of each file, the last of them torn at any byte; the first names
    kSubset,   // any sectors of any writes, lengths without their bytes, any names
  };
  Keep keep = Keep::kNothing;
  std::uint64_t seed = 0;
};

class PowerCutFileSystem final : public FileSystem {
 public:
  PowerCutFileSystem();
  ~PowerCutFileSystem() override;

  std::unique_ptr<PowerCutFileSystem> after_power_cut(PowerCut cut) const;
  // The power goes out before the operation after this many more: from there on everything that
  // would change the disk fails and changes nothing.
  void stop_after(std::uint64_t operations);
  std::uint64_t operations() const;  // so far: writes, syncs, truncations, changes of names
  // Lets a sync of a file fail, the `call`th from now; its unsynced writes will never be durable.
  void fail_sync(std::uint64_t call);
  // Lets a sync of a file lie, the `call`th from now, as a disk does that has the writes only in
  // its cache: it says that all is well and makes nothing durable. The file's next sync does.
  void lie_on_sync(std::uint64_t call);
  std::uint64_t file_syncs() const;  // so far

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode,
                                     unsigned permissions = 0640) override;
  Result<FileInfo> info(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& directory) override;
  Status make_directories(const std::string& path, unsigned permissions = 0750) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status remove(const std::string& path) override;
  // Of files only: a ledger that changes the mode of a directory means something else.
  Status set_permissions(const std::string& path, unsigned permissions) override;
  Status sync_directory(const std::string& path) override;
  Result<std::uint64_t> bytes_available(const std::string&) override { return 1ULL << 40; }
  Result<std::string> type_name(const std::string&) override { return std::string("ext4"); }

 private:
  class Node;  // a file or a directory, whatever its names
  class OpenFile;
  using NodePtr = std::shared_ptr<Node>;
  using Names = std::map<std::string, NodePtr>;  // normal paths, without the root
  // One operation on names: happens whole or not at all. No node: the name goes.
  using NameChange = std::vector<std::pair<std::string, NodePtr>>;

  Status operate();  // counts an operation; fails once the power is out. With mutex_ held.
  Status make_one_directory(const std::string& path, unsigned permissions);
  Result<NodePtr> find(const std::string& path) const;
  bool is_directory(const std::string& path) const;
  static void apply(const NameChange& change, Names& names);
  void change_names(NameChange change);
  Status sync(Node& node);

  mutable std::mutex mutex_;
  // All of the rest is guarded by mutex_.
  Names seen_, durable_;
  std::vector<NameChange> unsynced_names_;
  std::uint64_t operations_ = 0;
  std::uint64_t operations_max_ = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t file_syncs_ = 0;
  std::uint64_t failing_sync_ = 0;  // by its number in file_syncs_; 0: none
  std::uint64_t lying_sync_ = 0;    // likewise
};

}  // namespace aioss::os
