#include "cli/config.h"

#include <algorithm>
#include <array>

#include "base/assert.h"
#include "base/strings.h"
#include "base/suggest.h"
#include "cli/config_file.h"
#include "ipc/limits.h"
#include "ledger/custody/custody.h"
#include "runtime/dry_runs/device_table.h"
#include "server/wishes.h"

namespace aioss::cli {
namespace {

// 8484: none of the ports that other local model servers take (1234, 8000, 8080, 11434), so that
// aioss can stand beside one.
constexpr std::array<Setting, kKeyCount> kSettings{{
    {Key::kHost, "host", SettingType::kText, 0, 0, "", "127.0.0.1", kForServe | kForTop, "ADDRESS",
     "Address to listen on. Anything but loopback needs a key file."},
    {Key::kPort, "port", SettingType::kNumber, 0, 65535, "", "8484", kForServe | kForTop, "PORT",
     "TCP port to listen on; 0 picks a free one."},
    {Key::kUnix, "unix", SettingType::kPath, 0, 0, "", "", kForServe | kForTop, "PATH",
     "Also listen on this Unix socket; callers are known by their user id."},
    {Key::kKeys, "keys", SettingType::kPath, 0, 0, "", "", kForServe | kForOperator, "FILE",
     "API keys, made by 'aioss key new'. With one, every TCP request needs a key."},
    {Key::kModelsDir, "models_dir", SettingType::kPath, 0, 0, "", "$XDG_DATA_HOME/aioss/models",
     kForServe | kForRun | kForModels | kForPlan, "DIR",
     "Folder of the catalogue: every *.gguf in it is a model, named by its file name."},
    {Key::kModelsWatch, "models_watch", SettingType::kChoice, 0, 0, "on|off", "on", kForServe,
     "MODE",
     "Whether files that come, go or change in the models folder are taken up by themselves."},
    {Key::kModelsAllow, "models_allow", SettingType::kPath, 0, 0, "", "",
     kForServe | kForRun | kForModels, "FILE",
     "List of the files that may be loaded, as 'sha256sum' writes it; others are refused."},
    {Key::kModelsKey, "models_key", SettingType::kText, 0, 0, "", "", kForBundles, "VKEY",
     "Public key of whoever signs bundles of models, or @FILE that holds it."},
    {Key::kEnginesDir, "engines_dir", SettingType::kPath, 0, 0, "", "$XDG_DATA_HOME/aioss/engines",
     kForServe | kForRun | kForPlan | kForEngines | kForEngineFiles, "DIR",
     "Folder of the installed engines (docs/engines.md)."},
    {Key::kEnginesAllow, "engines_allow", SettingType::kPath, 0, 0, "", "",
     kForServe | kForRun | kForEngines, "FILE",
     "List of the engines' files that may be opened, as 'sha256sum' writes it; others are left "
     "out."},
    {Key::kEnginesKey, "engines_key", SettingType::kText, 0, 0, "", "",
     kForServe | kForRun | kForEngines, "VKEY",
     "Public key of whoever signs engines, or @FILE that holds it; with one, engines that it has "
     "not signed are left out."},
    {Key::kEngine, "engine", SettingType::kText, 0, 0, "", "llama", kForServe | kForRun, "NAME",
     "Engine that computes models in GGUF, of those that 'aioss engine list' shows; a model's own "
     "settings may name another."},
    {Key::kLedger, "ledger", SettingType::kPath, 0, 0, "", "$XDG_STATE_HOME/aioss/ledger",
     kForServe | kForRun | kForLedger, "DIR",
     "Folder of the ledger; made on first use by 'serve' and 'run'."},
    {Key::kProfile, "profile", SettingType::kChoice, 0, 0, "fast|reproducible", "fast",
     kForServe | kForRun | kForPlan, "NAME",
     "What the arithmetic may depend on: 'reproducible' gives the same bytes whoever else is "
     "served."},
    {Key::kPrivacy, "privacy", SettingType::kChoice, 0, 0, "commit|sealed", "commit",
     kForServe | kForRun, "MODE",
     "What is kept of prompts and answers: salted commitments, or also their texts, sealed."},
    {Key::kRetentionDays, "retention_days", SettingType::kNumber, ledger::kRetentionDaysMin,
     ledger::kRetentionDaysMax, "", "183", kForDrop, "DAYS",
     "How long records are kept at least before 'aioss ledger drop' may take their content."},
    {Key::kParallel, "parallel", SettingType::kNumber, 0, ipc::kStreamsMax, "", "0",
     kForServe | kForPlan, "N",
     "Requests that one model answers at the same time; 0 lets the worker choose."},
    {Key::kCtx, "ctx", SettingType::kNumber, 0, 1048576, "", "0", kForServe | kForRun | kForPlan,
     "TOKENS",
     "Tokens that prompt and answer may take together; 0 takes what the model was trained for, at "
     "most 4096."},
    {Key::kThreads, "threads", SettingType::kNumber, 0, ipc::kThreadsMax, "", "0",
     kForServe | kForRun | kForPlan, "N",
     "Threads that compute; 0 takes the physical cores that this process may use."},
    {Key::kQueue, "queue", SettingType::kNumber, 1, 4096, "", "256", kForServe, "N",
     "Requests that may wait for one model; the next one gets 429."},
    {Key::kSpillMib, "spill_mib", SettingType::kNumber, 0, 1'048'576, "", "1024", kForServe, "N",
     "Memory of a worker, in MiB, for answers under way whose clients do not read, so that others "
     "go on in their place; 0: they keep their places."},
    {Key::kPrefixMib, "prefix_mib", SettingType::kNumber, 0, 1'048'576, "", "1024", kForServe, "N",
     "Memory of a model, in MiB, for what was computed of prompts, so that one that begins like an "
     "earlier one of the same tenant is answered sooner; 0: none."},
    {Key::kPrefixDisk, "prefix_disk", SettingType::kChoice, 0, 0, "auto|off|on", "auto", kForServe,
     "MODE",
     "Whether what was computed of prompts outlives the server, on the disk, sealed under the keys "
     "of those who asked; with 'auto' if privacy is 'sealed'. If not, what is there of it is "
     "destroyed."},
    {Key::kPrefixDiskMib, "prefix_disk_mib", SettingType::kNumber, 0, 1'048'576, "", "4096",
     kForServe, "N",
     "Room on the disk for that, in MiB, for all models together; the oldest goes."},
    {Key::kMemoryMax, "memory_max", SettingType::kBytes, 0, 0, "", "0", kForServe, "BYTES",
     "Memory that all models may take together, as 8GiB or 500MB; 0: what the machine, or the "
     "control group, can spare. What does not fit is unloaded, or refused before it is loaded."},
    {Key::kSpeculation, "speculation", SettingType::kChoice, 0, 0, "auto|off", "auto",
     kForServe | kForRun, "MODE",
     "Whether a model may draft tokens that repeat prompt or answer and check several in one step; "
     "only where it measures that this is faster, and never in 'reproducible'."},
    {Key::kOvercommit, "overcommit", SettingType::kChoice, 0, 0, "off|on", "off", kForServe, "MODE",
     "With 'on', an interactive request that finds no place takes that of a batch one, which waits "
     "in the memory of --spill-mib and then goes on exactly as it was."},
    {Key::kKvType, "kv_type", SettingType::kChoice, 0, 0, "f16|bf16|f32|q8_0|q5_1|q5_0|q4_1|q4_0",
     "f16", kForServe | kForRun | kForPlan, "TYPE",
     "How keys and values are kept: q8_0 takes about half the memory of f16 and q4_0 about a "
     "quarter, with less precision."},
    {Key::kDevice, "device", SettingType::kText, 0, 0, "", "auto", kForServe | kForRun | kForPlan,
     "NAMES",
     "Where a model's layers are: 'cpu', or devices as 'aioss devices' names them, 'cuda:0' or "
     "'cuda:0,cuda:1'. 'auto': on a GPU of the model's engine that holds it, else split, else "
     "cpu."},
    {Key::kTune, "tune", SettingType::kChoice, 0, 0, "auto|off", "auto", kForServe | kForRun,
     "MODE",
     "Whether a model that nobody has measured on this machine is measured, in ten seconds, and "
     "then computed as is fastest: engine, threads, flash attention. What you set stays."},
    {Key::kPrefillChunk, "prefill_chunk", SettingType::kNumber, 0, ipc::kPrefillChunkMax, "", "0",
     kForServe, "N", "Prompt tokens of one engine call at most; 0 lets the worker choose."},
    {Key::kRecordRate, "record_rate", SettingType::kNumber, 0, 1'000'000, "", "50", kForServe, "N",
     "Ledger records a second that one tenant may cause, two for a request; over it 429. 0: no "
     "bound."},
    {Key::kRecordBurst, "record_burst", SettingType::kNumber, 2, 1'000'000, "", "500", kForServe,
     "N", "Ledger records that one tenant may cause at once, after a pause."},
    {Key::kResumeSecondsMax, "resume_seconds_max", SettingType::kNumber, 0, 3600, "", "600",
     kForServe, "N",
     "Seconds that a request may ask to be kept for while its client is away (X-Aioss-Resume); 0: "
     "none is kept."},
    {Key::kLoadWaitSeconds, "load_wait_seconds", SettingType::kNumber, 0,
     server::kLoadWaitSecondsMax, "", "300", kForServe, "N",
     "Seconds that a request waits for its model to be loaded, unless it says otherwise "
     "(X-Aioss-Load-Wait); then it gets 503, and the load goes on."},
    {Key::kKeepAlive, "keep_alive", SettingType::kText, 0, 0, "", "forever", kForServe, "TIME",
     "How long a model stays after its last use: 90s, 5m, 1h30m; 0 unloads it at once, 'forever' "
     "keeps it until another needs its place. A request may say otherwise (keep_alive)."},
    {Key::kWarmKeepAlive, "warm_keep_alive", SettingType::kText, 0, 0, "", "auto", kForServe,
     "TIME",
     "How long a model that goes stays warm, its weights in memory and nothing else: 10m, forever, "
     "0 for never. 'auto': one that makes room, until it must make more or its keep_alive is "
     "over."},
    {Key::kPin, "pin", SettingType::kList, 0, 0, "", "", kForServe, "NAMES",
     "Models that, once loaded, never make room and never expire; separated by commas."},
    {Key::kPreload, "preload", SettingType::kList, 0, 0, "", "", kForServe, "NAMES",
     "Models to load at the start; separated by commas."},
    {Key::kModelPriority, "model_priority", SettingType::kList, 0, 0, "", "", kForServe, "LIST",
     "Which models make room last: 'NAME=N' with commas, -1000 to 1000, the lowest first; 0 if not "
     "named."},
    {Key::kLogFormat, "log_format", SettingType::kChoice, 0, 0, "auto|json|pretty", "auto",
     kForServe, "NAME", "Form of the log; 'auto' is pretty on a terminal and JSON otherwise."},
    {Key::kLogLevel, "log_level", SettingType::kChoice, 0, 0, "debug|info|warn|error|off", "info",
     kForServe, "NAME", "Least severe message that is logged."},
}};

std::vector<std::string> choices_of(const Setting& at) {
  const auto parts = split(at.choices, '|');
  return {parts.begin(), parts.end()};
}

struct XdgDefault {
  std::string_view variable, under_home;
};
constexpr std::array<XdgDefault, 3> kXdg{{
    {"XDG_CONFIG_HOME", ".config"},
    {"XDG_DATA_HOME", ".local/share"},
    {"XDG_STATE_HOME", ".local/state"},
}};

std::string home_of(const Environment& environment) {
  std::string home = environment("HOME").value_or("");
  return home.starts_with('/') ? home : "";
}

Error bad_value(const Setting& at, const std::string& origin, std::string_view value) {
  std::string message =
      origin + ": '" + std::string(value) + "' is not a value of '" + std::string(at.name) + "'";
  if (at.type == SettingType::kChoice) {
    message += did_you_mean(value, choices_of(at)) + "; it takes one of " + range_of(at);
  } else if (at.type == SettingType::kBytes) {
    message += "; it takes a size, as 8GiB or 500MB";
  } else {
    message += "; it takes a whole number from " + range_of(at);
  }
  return {Code::kUsage, message, std::string(at.name)};
}

}  // namespace

class ConfigBuilder {
 public:
  explicit ConfigBuilder(const Environment& environment) : environment_(environment) {
    config_.slots_.resize(kKeyCount);
  }

  Status set(const Setting& at, std::string_view value, Source source, const std::string& origin,
             const std::string& base_directory = "") {
    Config::Slot slot;
    slot.source = source;
    slot.origin = origin;
    slot.text = value;
    if (at.type == SettingType::kNumber) {
      const auto number = parse_u64(value);
      if (!number || *number < at.least || *number > at.most) return bad_value(at, origin, value);
      slot.number = *number;
    } else if (at.type == SettingType::kBytes) {
      const auto bytes = parse_bytes(value);
      if (!bytes) return bad_value(at, origin, value);
      slot.number = *bytes;
    } else if (at.type == SettingType::kChoice) {
      const auto choices = choices_of(at);
      if (std::find(choices.begin(), choices.end(), value) == choices.end()) {
        return bad_value(at, origin, value);
      }
    } else if (at.type == SettingType::kPath && !value.empty()) {
      slot.text = expand_path(value, environment_);
      const bool relative = !slot.text.empty() && !slot.text.starts_with('/');
      if (relative && !base_directory.empty()) slot.text = base_directory + "/" + slot.text;
    }
    if (slot.text.find('\0') != std::string::npos) {
      return Error(Code::kUsage, origin + ": the value holds a zero byte; take it out");
    }
    config_.slots_[static_cast<std::size_t>(at.key)] = std::move(slot);
    return ok();
  }

  void set_models(runtime::ModelSettingsMap models) { config_.models_ = std::move(models); }

  Config take() { return std::move(config_); }

 private:
  const Environment& environment_;
  Config config_;
};

std::span<const Setting> settings() {
  return kSettings;
}

const Setting& setting(Key key) {
  const Setting& found = kSettings[static_cast<std::size_t>(key)];
  ASSERT(found.key == key);
  return found;
}

std::string flag_of(const Setting& setting) {
  std::string flag = "--" + std::string(setting.name);
  std::replace(flag.begin(), flag.end(), '_', '-');
  return flag;
}

std::string variable_of(const Setting& setting) {
  std::string name = "AIOSS_" + std::string(setting.name);
  for (char& c : name) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return name;
}

std::string range_of(const Setting& setting) {
  if (setting.type == SettingType::kNumber) {
    return std::to_string(setting.least) + " to " + std::to_string(setting.most);
  }
  if (setting.type != SettingType::kChoice) return "";
  return comma_separated(choices_of(setting));
}

std::string fallback_shown(const Setting& setting) {
  return setting.fallback.empty() ? "none" : std::string(setting.fallback);
}

std::string expand_path(std::string_view path, const Environment& environment) {
  const auto under = [&](std::string base, std::string_view rest) {
    return base.empty() ? std::string() : base + std::string(rest);
  };
  if (path == "~" || path.starts_with("~/")) return under(home_of(environment), path.substr(1));
  for (const XdgDefault& xdg : kXdg) {
    const std::string token = "$" + std::string(xdg.variable);
    if (!path.starts_with(token + "/")) continue;
    const std::string given = environment(xdg.variable).value_or("");
    // Relative values are to be ignored, says the XDG specification.
    if (given.starts_with('/')) return given + std::string(path.substr(token.size()));
    const std::string home = home_of(environment);
    const std::string base = home.empty() ? "" : home + "/" + std::string(xdg.under_home);
    return under(base, path.substr(token.size()));
  }
  return std::string(path);
}

Result<Config> load_config(os::FileSystem& fs, const Environment& environment,
                           const ConfigInput& input) {
  ConfigBuilder builder(environment);
  for (const Setting& at : kSettings) {
    AIOSS_CHECK(builder.set(at, at.fallback, Source::kDefault, "default"));
  }
  std::string file = input.config_file;
  if (file.empty()) file = environment("AIOSS_CONFIG").value_or("");
  const bool asked_for = !file.empty();
  if (!asked_for) file = expand_path(kConfigPathDefault, environment);
  if (!file.empty()) {
    AIOSS_TRY(const auto read, read_config_file(fs, file, asked_for));
    const auto& entries = read.entries;
    builder.set_models(read.models);
    const std::size_t slash = file.rfind('/');
    const std::string directory = slash == std::string::npos ? "" : file.substr(0, slash);
    for (const FileEntry& entry : entries) {
      const std::string origin = file + ":" + std::to_string(entry.line);
      AIOSS_CHECK(builder.set(setting(entry.key), entry.value, Source::kFile, origin, directory));
    }
  }
  for (const Setting& at : kSettings) {
    const std::string variable = variable_of(at);
    if (const auto value = environment(variable); value && !value->empty()) {
      AIOSS_CHECK(builder.set(at, *value, Source::kEnvironment, variable));
    }
  }
  for (const auto& [key, value] : input.flags) {
    const Setting& at = setting(key);
    AIOSS_CHECK(builder.set(at, value, Source::kFlag, flag_of(at)));
  }
  return builder.take();
}

Result<std::string> device_setting(const Config& config) {
  const std::string& device = config.text(Key::kDevice);
  if (runtime::is_device_setting(device)) return device;
  return Error(
      Code::kUsage,
      "device is '" + one_line(device) +
          "'; it takes auto, cpu, or devices as 'aioss devices' names them: cuda:0,cuda:1");
}

}  // namespace aioss::cli
