// The end of files that must not be read again: overwritten in place, synced, then removed. What
// that is worth on a disk that writes elsewhere than it is told is said in docs/privacy.md.
// Blocking.
#pragma once

#include <string>

#include "base/result.h"
#include "os/file.h"

namespace aioss::ledger {

// With zeros, to the end it has now, and synced. The name stays.
Status overwrite_file(os::FileSystem& fs, const std::string& path);
// And removed; durable once its folder is synced, which is the caller's to do. False: there was no
// such file.
Result<bool> destroy_file(os::FileSystem& fs, const std::string& path);

}  // namespace aioss::ledger
