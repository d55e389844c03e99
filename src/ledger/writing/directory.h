// The ledger's directory: its parts, its lock, and what file system it may stand on.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "crypto/random.h"
#include "ledger/writing/appender.h"
#include "os/file.h"

namespace aioss::ledger {

// Refuses where a sync or a lock does not mean what the ledger needs: network and user-space file
// systems, and those in memory. kUnsupported. Only a ledger for trials may lie there.
Status check_file_system(os::FileSystem& fs, const std::string& directory, bool trial);

// A ledger that was made for trials has this file, and so have its copies, which are for trials,
// too. It is what holds: no record says so.
inline constexpr std::string_view kTrialFile = "trial";
// Of a ledger that is being made. What is removed is so for good with the checkpoint that follows.
Status set_trial(os::FileSystem& fs, const std::string& directory, bool trial);
bool is_trial(os::FileSystem& fs, const std::string& directory);

InstanceInfo new_instance(crypto::Random& random,
                          const std::optional<std::array<std::uint8_t, 16>>& boot_id);

// The right to write: an exclusive lock on <ledger>/LOCK, until unlock() or the end of the process.
class LockedDirectory final {
 public:
  static Result<LockedDirectory> lock(os::FileSystem& fs, const std::string& directory);
  void unlock() { file_.reset(); }

 private:
  explicit LockedDirectory(std::unique_ptr<os::File> file) : file_(std::move(file)) {}
  std::unique_ptr<os::File> file_;
};

}  // namespace aioss::ledger
