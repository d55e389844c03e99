// Names of files beyond os/file.h, on the real file system: for commands that put files into a
// folder. Blocking; thread-safe functions.
#pragma once

#include <string>

#include "base/result.h"

namespace aioss::os {

// Renames within a file system; kConflict if `to` is there already, which is never overwritten.
// kUnsupported: another file system.
Status rename_new(const std::string& from, const std::string& to);
// The same, over what is there.
Status rename_over(const std::string& from, const std::string& to);
Status make_symbolic_link(const std::string& target, const std::string& path);
// Without links and "..": the file must exist.
Result<std::string> resolved_path(const std::string& path);

}  // namespace aioss::os
