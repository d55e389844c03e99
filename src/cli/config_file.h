// aioss.toml as a list of (key, value, line), and its sections of models. It and
// model_settings_file.h are the only users of toml++. Thread-safe functions.
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

struct ConfigFile {
  std::vector<FileEntry> entries;  // in the order of their lines
  runtime::ModelSettingsMap models;
};

// A few dozen keys and comments; more is not a configuration.
inline constexpr std::uint64_t kConfigBytesMax = 256 * 1024;

// A file that does not exist is empty, unless it is `required`.
Result<ConfigFile> read_config_file(os::FileSystem& fs, const std::string& path, bool required);
Result<std::vector<FileEntry>> parse_config(std::string_view text, const std::string& path);

}  // namespace aioss::cli
