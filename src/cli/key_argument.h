// Public keys on the command line. Blocking; pure but for the file.
#pragma once

#include <string>

#include "base/result.h"
#include "os/file.h"

namespace aioss::cli {

// The key's text; "@FILE" stands for what the file holds. kUsage, naming `what`, if there is none:
// a variable that was never set must not quietly mean no key at all.
Result<std::string> key_argument(os::FileSystem& files, const std::string& what,
                                 const std::string& given);

}  // namespace aioss::cli
