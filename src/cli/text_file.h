// Small files that a command reads and writes by names from the command line. Blocking.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cli/services.h"

namespace aioss::cli {

// Errors name the file. kTooLarge over `limit` bytes.
Result<std::string> read_text(const Services& services, const std::string& path,
                              std::uint64_t limit);
// Replaces the file, whole or not at all; to standard output without a path.
Status write_text(const Services& services, const std::string& path, std::string_view text);

}  // namespace aioss::cli
