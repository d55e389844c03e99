#include "cli/model_settings_file.h"

#include <toml++/toml.h>
#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "base/suggest.h"
#include "ipc/limits.h"
#include "runtime/catalogue/catalogue.h"
#include "runtime/dry_runs/device_table.h"
#include "runtime/settings/kv_types.h"

namespace aioss::cli {
namespace {

using runtime::ModelSettings;

constexpr std::int64_t kContextMax = 1'048'576;
constexpr std::int64_t kPriorityMax = 100;
constexpr std::int64_t kSecondsMax = 366LL * 24 * 3600;
constexpr std::int64_t kBytesMax = std::int64_t{1} << 50;

std::string range(std::int64_t least, std::int64_t most) {
  return "a whole number from " + std::to_string(least) + " to " + std::to_string(most);
}

// Each reader says what the key takes if the value is something else.
using Wanted = std::optional<std::string>;

template <typename T>
Wanted read_number(const toml::node& node, std::int64_t least, std::int64_t most,
                   std::optional<T>& out) {
  const auto* number = node.as_integer();
  if (number == nullptr || number->get() < least || number->get() > most) return range(least, most);
  out = static_cast<T>(number->get());
  return std::nullopt;
}

// "10m", "8GiB": digits and one of the units.
struct Unit {
  std::string_view name;
  std::int64_t factor;
};
std::optional<std::int64_t> with_unit(std::string_view text, std::span<const Unit> units,
                                      std::int64_t most) {
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const auto number = parse_u64(text.substr(0, digits));
  for (const Unit& unit : units) {
    if (!number || text.substr(digits) != unit.name) continue;
    if (*number > static_cast<std::uint64_t>(most / unit.factor)) return std::nullopt;
    return static_cast<std::int64_t>(*number) * unit.factor;
  }
  return std::nullopt;
}

Wanted read_time(const toml::node& node, std::optional<std::int64_t>& out) {
  constexpr auto kUnits =
      std::to_array<Unit>({{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 24LL * 3600}});
  std::optional<std::int64_t> seconds;
  if (const auto* number = node.as_integer()) seconds = number->get();
  if (const auto* text = node.as_string()) {
    seconds = text->get() == "forever" ? std::optional(runtime::kKeepAliveForever)
                                       : with_unit(text->get(), kUnits, kSecondsMax);
  }
  if (!seconds || *seconds < runtime::kKeepAliveForever || *seconds > kSecondsMax) {
    return "seconds, a time such as \"10m\", or \"forever\"";
  }
  out = seconds;
  return std::nullopt;
}

Wanted read_max_bytes(const toml::node& node, ModelSettings& out) {
  constexpr auto kUnits = std::to_array<Unit>(
      {{"KiB", 1LL << 10}, {"MiB", 1LL << 20}, {"GiB", 1LL << 30}, {"TiB", 1LL << 40}});
  std::optional<std::int64_t> bytes;
  if (const auto* number = node.as_integer()) bytes = number->get();
  if (const auto* text = node.as_string()) bytes = with_unit(text->get(), kUnits, kBytesMax);
  if (!bytes || *bytes < 0 || *bytes > kBytesMax) return "bytes, or a size such as \"8GiB\"";
  out.max_bytes = static_cast<std::uint64_t>(*bytes);
  return std::nullopt;
}

Wanted read_kv_type(const toml::node& node, ModelSettings& out) {
  const auto* text = node.as_string();
  std::string all;
  for (const std::string_view type : runtime::kKvTypes) {
    if (text != nullptr && text->get() == type) {
      out.kv_type = std::string(type);
      return std::nullopt;
    }
    all += (all.empty() ? "one of \"" : ", \"") + std::string(type) + "\"";
  }
  return all;
}

Wanted read_engine(const toml::node& node, ModelSettings& out) {
  const auto* text = node.as_string();
  if (text == nullptr || !runtime::is_model_name(text->get())) return "an engine's name in quotes";
  out.engine = text->get();
  return std::nullopt;
}

Wanted read_device(const toml::node& node, ModelSettings& out) {
  const auto* text = node.as_string();
  if (text == nullptr || !runtime::is_device_setting(text->get())) {
    return "\"auto\", \"cpu\", or devices as \"cuda:0\"";
  }
  out.device = text->get();
  return std::nullopt;
}

Wanted read_pinned(const toml::node& node, ModelSettings& out) {
  const auto* flag = node.as_boolean();
  if (flag == nullptr) return "true or false";
  out.pinned = flag->get();
  return std::nullopt;
}

Wanted read_names(const toml::node& node, std::size_t most, std::vector<std::string>& out) {
  const std::string wanted = "a list of at most " + std::to_string(most) +
                             " names in quotes, of letters, digits and . _ + -";
  const auto* list = node.as_array();
  if (list == nullptr || list->size() > most) return wanted;
  for (const toml::node& one : *list) {
    const auto* text = one.as_string();
    if (text == nullptr || !runtime::is_model_name(text->get())) return wanted;
    out.push_back(text->get());
  }
  return std::nullopt;
}

Wanted read_aliases(const toml::node& node, ModelSettings& out) {
  out.aliases.clear();
  return read_names(node, runtime::kAliasesMax, out.aliases);
}

Wanted read_adapters(const toml::node& node, ModelSettings& out) {
  out.adapters.emplace();
  return read_names(node, runtime::kAdaptersListedMax, *out.adapters);
}

struct SettingReader {
  std::string_view name;
  Wanted (*read)(const toml::node& node, ModelSettings& out);
};

constexpr auto kReaders = std::to_array<SettingReader>({
    {"ctx", [](const toml::node& n,
               ModelSettings& s) { return read_number(n, 0, kContextMax, s.context_tokens); }},
    {"parallel", [](const toml::node& n,
                    ModelSettings& s) { return read_number(n, 0, ipc::kStreamsMax, s.parallel); }},
    {"threads", [](const toml::node& n,
                   ModelSettings& s) { return read_number(n, 0, ipc::kThreadsMax, s.threads); }},
    {"kv_type", read_kv_type},
    {"engine", read_engine},
    {"device", read_device},
    {"keep_alive",
     [](const toml::node& n, ModelSettings& s) { return read_time(n, s.keep_alive_seconds); }},
    {"warm_keep_alive",
     [](const toml::node& n, ModelSettings& s) { return read_time(n, s.warm_keep_alive_seconds); }},
    {"priority",
     [](const toml::node& n, ModelSettings& s) {
       return read_number(n, -kPriorityMax, kPriorityMax, s.priority);
     }},
    {"pinned", read_pinned},
    {"max_bytes", read_max_bytes},
    {"aliases", read_aliases},
    {"adapters", read_adapters},
});

std::string place(const std::string& path, const toml::key& key) {
  return path + ":" + std::to_string(key.source().begin.line) + ": ";
}

Error unknown_key(const std::string& where, const toml::key& key, const toml::node& node) {
  const std::string name(key.str());
  std::string message = where + "unknown key '" + name + "'";
  if (node.is_table()) {
    message += "; put a model's name with dots in quotes: [models.\"a.b\"]";
    return {Code::kUsage, message, name};
  }
  std::vector<std::string> names;
  for (const SettingReader& reader : kReaders) names.emplace_back(reader.name);
  const std::string hint = did_you_mean(name, names);
  return {Code::kUsage, message + (hint.empty() ? "; a model has " + comma_separated(names) : hint),
          name};
}

// The table is in the order of its keys; the first mistake of the file is what is told.
class FirstError {
 public:
  void note(std::uint32_t line, Error error) {
    if (!error_ || line < line_) error_ = std::move(error), line_ = line;
  }
  std::optional<Error> take() { return std::move(error_); }

 private:
  std::optional<Error> error_;
  std::uint32_t line_ = 0;
};

ModelSettings settings_of(const toml::table& table, const std::string& path, FirstError& errors) {
  ModelSettings out;
  for (const auto& [key, node] : table) {
    const std::string where = place(path, key);
    const std::uint32_t line = key.source().begin.line;
    const auto reader = std::find_if(kReaders.begin(), kReaders.end(),
                                     [&key = key](const auto& r) { return r.name == key.str(); });
    if (reader == kReaders.end()) {
      errors.note(line, unknown_key(where, key, node));
    } else if (const Wanted wanted = reader->read(node, out)) {
      errors.note(line,
                  {Code::kUsage, where + "'" + std::string(reader->name) + "' takes " + *wanted,
                   std::string(reader->name)});
    }
  }
  return out;
}

Error syntax_error(const toml::parse_error& error, const std::string& path) {
  return {Code::kUsage, path + ":" + std::to_string(error.source().begin.line) + ": " +
                            std::string(error.description())};
}

}  // namespace

Result<ModelSettings> parse_model_settings(std::string_view text, const std::string& path) {
  const toml::parse_result parsed = toml::parse(text, path);
  if (!parsed) return syntax_error(parsed.error(), path);
  FirstError errors;
  ModelSettings settings = settings_of(parsed.table(), path, errors);
  if (auto error = errors.take()) return std::move(*error);
  return settings;
}

Result<runtime::ModelSettingsMap> parse_model_sections(std::string_view text,
                                                       const std::string& path) {
  const toml::parse_result parsed = toml::parse(text, path);
  if (!parsed) return syntax_error(parsed.error(), path);
  runtime::ModelSettingsMap all;
  const toml::table* models = parsed.table()["models"].as_table();
  if (models == nullptr) return all;
  FirstError errors;
  for (const auto& [key, node] : *models) {
    const toml::table* section = node.as_table();
    const std::string name(key.str());
    if (section == nullptr || !runtime::is_model_name(name)) {
      errors.note(key.source().begin.line,
                  {Code::kUsage, place(path, key) + "'" + one_line(name) +
                                     "' is no section of a model; write [models.NAME], with a "
                                     "name that 'aioss models' lists"});
      continue;
    }
    all.emplace(name, settings_of(*section, path, errors));
  }
  if (auto error = errors.take()) return std::move(*error);
  return all;
}

}  // namespace aioss::cli
