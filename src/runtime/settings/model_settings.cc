#include "runtime/settings/model_settings.h"

#include <algorithm>

namespace aioss::runtime {
namespace {

template <typename T>
const std::optional<T>& first_of(const std::optional<T>& upper, const std::optional<T>& lower) {
  return upper ? upper : lower;
}

template <typename T>
void add(std::string& out, const char* name, const std::optional<T>& value) {
  if (value) out += std::string(name) + "=" + std::to_string(*value) + "\n";
}

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (std::size_t i = 0; i < names.size(); ++i) out += (i > 0 ? "," : "") + names[i];
  return out;
}

}  // namespace

bool ModelSettings::loads_like(const ModelSettings& other) const {
  return context_tokens == other.context_tokens && parallel == other.parallel &&
         threads == other.threads && kv_type == other.kv_type && tuned == other.tuned &&
         device == other.device;
}

ModelSettings ModelSettings::under(const ModelSettings& upper) const {
  ModelSettings out;
  out.context_tokens = first_of(upper.context_tokens, context_tokens);
  out.parallel = first_of(upper.parallel, parallel);
  out.threads = first_of(upper.threads, threads);
  out.kv_type = first_of(upper.kv_type, kv_type);
  out.engine = first_of(upper.engine, engine);
  out.device = first_of(upper.device, device);
  out.keep_alive_seconds = first_of(upper.keep_alive_seconds, keep_alive_seconds);
  out.warm_keep_alive_seconds = first_of(upper.warm_keep_alive_seconds, warm_keep_alive_seconds);
  out.priority = first_of(upper.priority, priority);
  out.pinned = first_of(upper.pinned, pinned);
  out.max_bytes = first_of(upper.max_bytes, max_bytes);
  out.adapters = first_of(upper.adapters, adapters);
  out.aliases = upper.aliases;
  for (const std::string& alias : aliases) {
    const bool known =
        std::find(out.aliases.begin(), out.aliases.end(), alias) != out.aliases.end();
    if (!known && out.aliases.size() < kAliasesMax) out.aliases.push_back(alias);
  }
  return out;
}

std::string ModelSettings::text() const {
  std::string out;
  add(out, "ctx", context_tokens);
  add(out, "parallel", parallel);
  add(out, "threads", threads);
  if (kv_type) out += "kv_type=" + *kv_type + "\n";
  if (engine) out += "engine=" + *engine + "\n";
  if (device) out += "device=" + *device + "\n";
  add(out, "keep_alive", keep_alive_seconds);
  add(out, "warm_keep_alive", warm_keep_alive_seconds);
  add(out, "priority", priority);
  if (pinned) out += std::string("pinned=") + (*pinned ? "true" : "false") + "\n";
  add(out, "max_bytes", max_bytes);
  if (adapters) out += "adapters=" + joined(*adapters) + "\n";
  if (!aliases.empty()) out += "aliases=" + joined(aliases) + "\n";
  return out;
}

}  // namespace aioss::runtime
