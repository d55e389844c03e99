#include "ledger/writing/directory.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "os/environment.h"

namespace aioss::ledger {

Status check_file_system(os::FileSystem& fs, const std::string& directory, bool allow_unsafe) {
  constexpr std::array<std::string_view, 14> kUnsafe{"nfs",   "smb",   "cifs",  "smb2",   "fuse",
                                                     "9p",    "ceph",  "afs",   "lustre", "gpfs",
                                                     "panfs", "tmpfs", "ramfs", "proc"};
  if (allow_unsafe) return ok();
  AIOSS_TRY(const std::string type, fs.type_name(directory));
  if (std::find(kUnsafe.begin(), kUnsafe.end(), type) == kUnsafe.end()) return ok();
  return Error{Code::kUnsupported,
               "the ledger cannot stand on a file system of type " + type +
                   ", which may lose what was synced or share it without locks; use a local disk, "
                   "or --unsafe-fs for a trial"};
}

InstanceInfo new_instance(crypto::Random& random,
                          const std::optional<std::array<std::uint8_t, 16>>& boot_id) {
  InstanceInfo instance{boot_id, {}};
  if (!boot_id) {
    if (const auto kernels = os::boot_id()) instance.boot_id = *kernels;
  }
  random.fill(instance.instance_id);
  return instance;
}

Result<LockedDirectory> LockedDirectory::lock(os::FileSystem& fs, const std::string& directory) {
  AIOSS_TRY(auto file, fs.open(directory + "/LOCK", os::OpenMode::kReadWriteCreate));
  if (auto locked = file->lock_exclusive(); !locked) {
    if (locked.error().code != Code::kConflict) return std::move(locked).error();
    return Error{Code::kConflict, "another process is writing to this ledger; stop it first"};
  }
  return LockedDirectory(std::move(file));
}

}  // namespace aioss::ledger
