// `aioss version`: what this binary is made of.
#include "cli/command_list.h"
#include "codec/json.h"
#include "crypto/hash.h"

namespace aioss::cli {
namespace {

std::string compiler() {
#if defined(__clang__)
  return "clang " + std::string(__clang_version__);
#else
  return "g++ " + std::string(__VERSION__);
#endif
}

std::string version_json(const Services& services) {
  codec::OrderedJson out;
  out["product"] = "aioss";
  out["version"] = AIOSS_VERSION;
  out["cpu_level"] = services.cpu_level;
  out["compiler"] = compiler();
  out["openssl"] = crypto::library_version();
  out["engines"] = codec::OrderedJson::array();
  out["embedded"] = codec::OrderedJson::array();
  for (const EngineVersion& engine : services.engines()) {
    codec::OrderedJson one;
    one["name"] = engine.name;
    one["version"] = engine.version;
    one["build"] = engine.build_id;
    one["compiler"] = engine.compiler;
    one["cpu_features"] = engine.cpu_features;
    out["engines"].push_back(std::move(one));
  }
  if (services.embedded) {
    for (const EmbeddedEngine& engine : services.embedded()) {
      codec::OrderedJson one;
      one["name"] = engine.name;
      one["version"] = engine.version;
      one["embedded_bytes"] = engine.bytes.size();
      one["cpu_level"] = engine.cpu_level.empty() ? services.cpu_level : engine.cpu_level;
      out["embedded"].push_back(std::move(one));
    }
  }
  return codec::dump_json(out) + "\n";
}

// Plugins inside: nothing of them is run, so that only what was known when they were built is said.
std::string embedded_text(const Services& services) {
  if (!services.embedded) return "";
  std::string out;
  for (const EmbeddedEngine& engine : services.embedded()) {
    out += "engine    " + engine.name + " " + engine.version + " (inside, " +
           std::to_string(engine.bytes.size() >> 20) + " MiB";
    out += engine.cpu_level.empty() ? ")\n" : ", for " + engine.cpu_level + ")\n";
  }
  return out;
}

std::string version_text(const Services& services) {
  std::string out = "aioss " AIOSS_VERSION "\n";
  for (const EngineVersion& engine : services.engines()) {
    out += "engine    " + engine.name + " " + engine.version;
    if (!engine.build_id.empty()) out += " (" + engine.build_id + ")";
    out += "\n";
    if (!engine.cpu_features.empty()) out += "          " + engine.cpu_features + "\n";
  }
  out += embedded_text(services);
  out += "cpu       built for " + services.cpu_level + "\n";
  out += "compiler  " + compiler() + "\n";
  out += "crypto    " + crypto::library_version() + "\n";
  return out;
}

}  // namespace

int version_command(const Services& services, const Invocation& invocation) {
  const std::string text =
      invocation.has("--json") ? version_json(services) : version_text(services);
  return services.console.print(text);
}

}  // namespace aioss::cli
