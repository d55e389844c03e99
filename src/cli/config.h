// Settings: one table drives the flags, the environment, aioss.toml, the help and docs/cli.md, so
// that nothing is listed twice. Precedence: flags over environment over file over defaults. Values;
// pure functions of their arguments (the environment comes in as a function).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "os/file.h"
#include "runtime/settings/model_settings.h"

namespace aioss::cli {

// In the order of the table.
enum class Key : std::size_t {
  kHost,
  kPort,
  kUnix,
  kKeys,
  kModelsDir,
  kModelsWatch,
  kModelsAllow,
  kModelsKey,
  kEnginesDir,
  kEnginesAllow,
  kEnginesKey,
  kEngine,
  kLedger,
  kProfile,
  kPrivacy,
  kRetentionDays,
  kParallel,
  kCtx,
  kThreads,
  kQueue,
  kSpillMib,
  kPrefixMib,
  kPrefixDisk,
  kPrefixDiskMib,
  kMemoryMax,
  kSpeculation,
  kOvercommit,
  kKvType,
  kDevice,
  kTune,
  kPrefillChunk,
  kRecordRate,
  kRecordBurst,
  kResumeSecondsMax,
  kLoadWaitSeconds,
  kKeepAlive,
  kWarmKeepAlive,
  kPin,
  kPreload,
  kModelPriority,
  kLogFormat,
  kLogLevel,
};
inline constexpr std::size_t kKeyCount = static_cast<std::size_t>(Key::kLogLevel) + 1;

// kList: text with commas. kBytes: a text as base/strings.h's parse_bytes() takes it; number() has
// it in bytes.
enum class SettingType { kText, kList, kPath, kNumber, kChoice, kBytes };

// Commands that offer a setting as a flag (bits). The environment and the file hold for all of
// them.
inline constexpr unsigned kForServe = 1, kForRun = 2, kForModels = 4, kForLedger = 8,
                          kForOperator = 16, kForDrop = 32, kForTop = 64, kForPlan = 128,
                          kForBundles = 256, kForEngines = 512, kForEngineFiles = 1024;

struct Setting {
  Key key;
  std::string_view name;  // "models_dir"; the flag and the variable are spelled from it
  SettingType type;
  std::uint64_t least = 0, most = 0;  // kNumber
  std::string_view choices;           // kChoice: "fast|reproducible"
  std::string_view fallback;          // as text; may name $XDG_… variables, see config.cc
  unsigned commands = 0;
  std::string_view value_name;  // in the help: DIR, PORT, …
  std::string_view help;        // one sentence
};

std::span<const Setting> settings();
const Setting& setting(Key key);
std::string flag_of(const Setting& setting);         // "--models-dir"
std::string variable_of(const Setting& setting);     // "AIOSS_MODELS_DIR"
std::string range_of(const Setting& setting);        // "0 to 65535", "fast, reproducible", ""
std::string fallback_shown(const Setting& setting);  // "none" instead of ""

using Environment = std::function<std::optional<std::string>(std::string_view name)>;

enum class Source { kDefault, kFile, kEnvironment, kFlag };

// The effective value of every setting, with where it came from.
class Config final {
 public:
  const std::string& text(Key key) const { return slot(key).text; }
  std::uint64_t number(Key key) const { return slot(key).number; }
  Source source(Key key) const { return slot(key).source; }
  // The sections [models.NAME] of the file.
  const runtime::ModelSettingsMap& models() const { return models_; }
  // "--port", "AIOSS_PORT", "/etc/aioss.toml:3", "default".
  const std::string& origin(Key key) const { return slot(key).origin; }

 private:
  friend class ConfigBuilder;
  struct Slot {
    std::string text;
    std::uint64_t number = 0;
    Source source = Source::kDefault;
    std::string origin;
  };
  const Slot& slot(Key key) const { return slots_[static_cast<std::size_t>(key)]; }
  std::vector<Slot> slots_;
  runtime::ModelSettingsMap models_;
};

struct ConfigInput {
  std::vector<std::pair<Key, std::string>> flags;  // as given on the command line
  std::string config_file;  // --config; "" looks at $AIOSS_CONFIG, then at the default place
};

// kUsage for a bad key or value: the message names the flag, the variable, or file and line, and
// the nearest valid key. kNotFound if a file that was asked for does not exist.
Result<Config> load_config(os::FileSystem& fs, const Environment& environment,
                           const ConfigInput& input);

// Key::kDevice, well-formed. kUsage says what it takes.
Result<std::string> device_setting(const Config& config);

// $XDG_CONFIG_HOME/aioss/aioss.toml and the like: the variable, or its default under $HOME.
std::string expand_path(std::string_view path, const Environment& environment);
inline constexpr std::string_view kConfigPathDefault = "$XDG_CONFIG_HOME/aioss/aioss.toml";

}  // namespace aioss::cli
