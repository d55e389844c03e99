// What an operator has set for one model, in aioss.toml or in NAME.toml beside its file. Absent: as
// the server's settings have it. Values. Reading them is the CLI's (cli/model_settings_file.h),
// which alone knows the format.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "runtime/settings/tuning_choice.h"

namespace aioss::runtime {

inline constexpr std::size_t kAliasesMax = 16;          // of one model
inline constexpr std::size_t kAdaptersListedMax = 256;  // likewise
inline constexpr std::int64_t kKeepAliveForever = -1;

struct ModelSettings {
  std::optional<std::uint32_t> context_tokens, parallel, threads;  // 0: the worker chooses
  std::optional<std::string> kv_type;                              // "f16", "q8_0", …
  std::optional<std::string> engine;  // of plugins::EngineTable; for models in GGUF only
  std::optional<std::string> device;  // "auto", "cpu", "cuda:0"; runtime/dry_runs/device_table.h
  std::optional<std::int64_t> keep_alive_seconds;  // idle time until it goes; kKeepAliveForever
  std::optional<std::int64_t> warm_keep_alive_seconds;  // and from then on with its weights alone
  std::optional<std::int64_t> priority;                 // the higher stays the longer; 0: as all
  std::optional<bool> pinned;                           // never makes room
  std::optional<std::uint64_t> max_bytes;               // of memory, of this model
  std::vector<std::string> aliases;                     // further names in requests
  std::optional<std::vector<std::string>> adapters;     // that may be used with it; all, if absent
  // What measuring chose, under all of the above. Nobody's to set: runtime/planning/tuning_plan.h.
  std::optional<TuneCandidate> tuned;

  bool operator==(const ModelSettings&) const = default;
  // Whether a worker that was started with these would be started the same with `other`, but for
  // the engine, which others have a say in (planning/planning.h).
  bool loads_like(const ModelSettings& other) const;
  // Those of `upper`, and where it has none, these. Aliases are of both.
  ModelSettings under(const ModelSettings& upper) const;
  // "ctx=4096\naliases=a,b\n": of what is set, in a fixed order. For the record of the
  // configuration.
  std::string text() const;
};

using ModelSettingsMap = std::map<std::string, ModelSettings, std::less<>>;  // by model name
// Of a file NAME.toml: its text, and its name for errors.
using ParseModelSettings =
    std::function<Result<ModelSettings>(std::string_view text, const std::string& file_name)>;

}  // namespace aioss::runtime
