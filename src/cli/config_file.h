// aioss.toml as a list of (key, value, line). The only user of toml++. Thread-safe functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/config.h"
#include "os/file.h"

namespace aioss::cli {

struct FileEntry {
  Key key{};
  std::string value;  // as text; its range is checked by load_config()
  std::uint32_t line = 0;
};

// A few dozen keys and comments; more is not a configuration.
inline constexpr std::uint64_t kConfigBytesMax = 256 * 1024;

// Entries in the order of their lines. A file that does not exist has none, unless it is
// `required`.
Result<std::vector<FileEntry>> read_config_file(os::FileSystem& fs, const std::string& path,
                                                bool required);
Result<std::vector<FileEntry>> parse_config(std::string_view text, const std::string& path);

}  // namespace aioss::cli
