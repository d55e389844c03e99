#include "cli/config_file.h"

#include <toml++/toml.h>
#include <algorithm>
#include <optional>

#include "base/suggest.h"
#include "cli/model_settings_file.h"

namespace aioss::cli {
namespace {

std::string place(const std::string& path, std::uint32_t line) {
  return path + ":" + std::to_string(line);
}

const Setting* find_setting(std::string_view name) {
  const auto all = settings();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const Setting& s) { return s.name == name; });
  return found == all.end() ? nullptr : &*found;
}

Error unknown_key(const std::string& where, std::string_view name) {
  std::vector<std::string> names;
  for (const Setting& setting : settings()) names.emplace_back(setting.name);
  std::string message = where + ": unknown key '" + std::string(name) + "'";
  const std::string hint = did_you_mean(name, names);
  message += hint.empty() ? "; 'aioss serve --print-config' lists the keys" : hint;
  return {Code::kUsage, message, std::string(name)};
}

std::string_view type_wanted(const Setting& setting) {
  if (setting.type == SettingType::kList) return "a list of texts in quotes";
  return setting.type == SettingType::kNumber ? "a whole number" : "a text in quotes";
}

// With commas; nothing if something in it is no text.
std::optional<std::string> list_text(const toml::array& array) {
  std::string out;
  for (const toml::node& node : array) {
    const auto* text = node.as_string();
    if (text == nullptr) return std::nullopt;
    out += (out.empty() ? "" : ",") + text->get();
  }
  return out;
}

Result<std::string> value_text(const toml::node& node, const Setting& setting,
                               const std::string& where) {
  if (setting.type == SettingType::kNumber) {
    if (const auto* number = node.as_integer()) return std::to_string(number->get());
  } else if (setting.type == SettingType::kList && node.is_array()) {
    if (auto list = list_text(*node.as_array())) return *list;
  } else if (const auto* text = node.as_string()) {
    return std::string(text->get());
  }
  return Error(
      Code::kUsage,
      where + ": '" + std::string(setting.name) + "' takes " + std::string(type_wanted(setting)),
      std::string(setting.name));
}

// toml++ has one exception left without its own: bad_alloc. It ends the process, as everywhere.
Result<std::vector<FileEntry>> entries_of(const toml::table& table, const std::string& path) {
  std::vector<FileEntry> entries;
  std::optional<std::pair<std::uint32_t, Error>> first_error;  // by line: the table is in key order
  const auto complain = [&](std::uint32_t line, Error error) {
    if (!first_error || line < first_error->first) first_error.emplace(line, std::move(error));
  };
  for (const auto& [key, node] : table) {
    const std::uint32_t line = key.source().begin.line;
    const std::string where = place(path, line);
    if (key.str() == "models" && node.is_table()) continue;  // parse_model_sections()
    const Setting* setting = find_setting(key.str());
    if (setting == nullptr) {
      complain(line, node.is_table()
                         ? Error(Code::kUsage, where +
                                                   ": the only sections of this file are "
                                                   "[models.NAME]; take out [" +
                                                   std::string(key.str()) + "]")
                         : unknown_key(where, key.str()));
      continue;
    }
    auto value = value_text(node, *setting, where);
    if (!value) {
      complain(line, std::move(value).error());
      continue;
    }
    entries.push_back({setting->key, std::move(value).value(), line});
  }
  if (first_error) return std::move(first_error->second);
  std::sort(entries.begin(), entries.end(),
            [](const FileEntry& a, const FileEntry& b) { return a.line < b.line; });
  return entries;
}

}  // namespace

Result<std::vector<FileEntry>> parse_config(std::string_view text, const std::string& path) {
  const toml::parse_result parsed = toml::parse(text, path);
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    return Error(Code::kUsage,
                 place(path, error.source().begin.line) + ": " + std::string(error.description()));
  }
  return entries_of(parsed.table(), path);
}

Result<ConfigFile> read_config_file(os::FileSystem& fs, const std::string& path, bool required) {
  auto bytes = os::read_file(fs, path, kConfigBytesMax);
  if (!bytes && bytes.error().code == Code::kNotFound && !required) {
    return ConfigFile();
  }
  if (!bytes) return std::move(bytes).error().with_context("configuration file " + path);
  ConfigFile out;
  AIOSS_TRY(out.entries, parse_config(as_text(*bytes), path));
  AIOSS_TRY(out.models, parse_model_sections(as_text(*bytes), path));
  return out;
}

}  // namespace aioss::cli
