#include "ledger/writing/directory.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "os/environment.h"

namespace aioss::ledger {
namespace {

std::string trial_path(const std::string& directory) {
  return directory + '/' + std::string(kTrialFile);
}

}  // namespace

Status set_trial(os::FileSystem& fs, const std::string& directory, bool trial) {
  if (trial) {
    return os::replace_file(fs, trial_path(directory),
                            as_bytes("This ledger was made for trials ('aioss ledger init "
                                     "--unsafe-fs'): it may lie where writes can be lost.\n"));
  }
  return os::remove_if_there(fs, trial_path(directory));
}

bool is_trial(os::FileSystem& fs, const std::string& directory) {
  const auto found = fs.info(trial_path(directory));
  return found && found->is_regular;
}

Status check_file_system(os::FileSystem& fs, const std::string& directory, bool trial) {
  constexpr std::array<std::string_view, 14> kUnsafe{"nfs",   "smb",   "cifs",  "smb2",   "fuse",
                                                     "9p",    "ceph",  "afs",   "lustre", "gpfs",
                                                     "panfs", "tmpfs", "ramfs", "proc"};
  if (trial) return ok();
  AIOSS_TRY(const std::string type, fs.type_name(directory));
  if (std::find(kUnsafe.begin(), kUnsafe.end(), type) == kUnsafe.end()) return ok();
  return Error{Code::kUnsupported,
               "the ledger cannot stand on a file system of type " + type +
                   ", which may lose what was synced or share it without locks; use a local disk, "
                   "or a ledger made for trials with 'aioss ledger init --unsafe-fs'"};
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
