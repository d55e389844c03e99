// The end of files that must not be read again: overwritten in place with zeros, synced, then
// removed. File systems that write elsewhere than they are told (btrfs, zfs) and flash may keep the
// old bytes: docs/privacy.md says what it is worth there. Blocking.
#pragma once

#include <string>

#include "base/result.h"
#include "os/file.h"

namespace aioss::os {

// To the end it has now, and synced. The name stays.
Status overwrite_file(FileSystem& fs, const std::string& path);
// And removed; durable once its folder is synced, which is the caller's to do. False: there was no
// such file.
Result<bool> destroy_file(FileSystem& fs, const std::string& path);
// And durable. Nothing is wrong if there is no such file.
Status destroy_file_durably(FileSystem& fs, const std::string& path);
// Lets `next`, which is durable, take the name of `path`, whose bytes are destroyed first. After a
// crash in between, `path` may hold zeros; `next` is whole until it has the name: call again.
Status destroy_and_replace(FileSystem& fs, const std::string& path, const std::string& next);

}  // namespace aioss::os
