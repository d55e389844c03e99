#include "engine/plugin.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "base/strings.h"
#include "codec/utf8.h"

namespace aioss::engine {
namespace {

constexpr std::size_t kLoaderMessageBytesMax = 300;

Error refused(std::string why) {
  return {Code::kUnsupported, std::move(why)};
}

// What the loader says names our path of the descriptor, which means nothing to a person.
std::string loader_message(const std::string& path) {
  const char* const said = ::dlerror();
  std::string text = said == nullptr ? "no reason given" : said;
  if (text.starts_with(path + ": ")) text.erase(0, path.size() + 2);
  return one_line(std::string_view(text).substr(0, kLoaderMessageBytesMax));
}

bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

Result<std::string> checked_text(const char* text, std::string_view what) {
  if (text == nullptr) return std::string();
  const std::string_view whole(text, ::strnlen(text, kIdentityBytesMax + 1));
  const std::string name(what);
  if (whole.size() > kIdentityBytesMax) {
    return refused("the plugin's " + name + " is longer than " + std::to_string(kIdentityBytesMax) +
                   " bytes");
  }
  if (!codec::is_utf8(whole)) return refused("the plugin's " + name + " is not UTF-8");
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
  if (std::any_of(whole.begin(), whole.end(), is_control)) {
    return refused("the plugin's " + name + " has control characters");
  }
  return std::string(whole);
}

}  // namespace

bool is_engine_name(std::string_view name) {
  if (name.empty() || name.size() > kEngineNameBytesMax || !is_name_start(name.front())) {
    return false;
  }
  return std::all_of(name.begin(), name.end(),
                     [](char c) { return is_name_start(c) || c == '.' || c == '_' || c == '-'; });
}

Result<Identity> checked_identity(const aioss_engine& engine) {
  aioss_engine_identity raw = {};
  raw.struct_size = sizeof raw;
  engine.identity(&raw);
  Identity out;
  out.abi_version = raw.abi_version;
  AIOSS_TRY(out.name, checked_text(raw.name, "name"));
  AIOSS_TRY(out.version, checked_text(raw.version, "version"));
  AIOSS_TRY(out.build_id, checked_text(raw.build_id, "build id"));
  AIOSS_TRY(out.compiler, checked_text(raw.compiler, "compiler"));
  AIOSS_TRY(out.cpu_features, checked_text(raw.cpu_features, "CPU features"));
  if (!is_engine_name(out.name)) {
    return refused("the plugin calls itself '" + out.name +
                   "'; an engine's name is made of a-z, 0-9, '.', '_' and '-'");
  }
  if (out.version.empty()) return refused("the plugin does not say its version");
  if (out.abi_version != engine.abi_version) {
    return refused("the plugin's table says ABI version " + std::to_string(engine.abi_version) +
                   " and its identity " + std::to_string(out.abi_version));
  }
  return out;
}

Result<const aioss_engine*> open_plugin(int fd) {
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  void* const library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return refused("the system's loader cannot open this plugin: " + loader_message(path));
  }
  void* const symbol = ::dlsym(library, AIOSS_ENGINE_ENTRY_SYMBOL);
  if (symbol == nullptr) {
    return refused("this file is no engine plugin: it does not export " AIOSS_ENGINE_ENTRY_SYMBOL);
  }
  const auto entry = reinterpret_cast<aioss_engine_entry_fn>(symbol);
  const aioss_engine* const engine = entry();
  if (engine == nullptr)
    return refused("the plugin's " AIOSS_ENGINE_ENTRY_SYMBOL " gives no table");
  AIOSS_CHECK(validate_table(*engine));
  AIOSS_CHECK(checked_identity(*engine));
  return engine;
}

}  // namespace aioss::engine
