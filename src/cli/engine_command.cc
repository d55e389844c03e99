// `aioss engine list|add|remove|sign`: the engine directory. What a plugin says of itself comes
// from a confined child (engine_child.h).
#include <utility>

#include "base/strings.h"
#include "cli/bundle.h"
#include "cli/bundle_note.h"
#include "cli/command_list.h"
#include "cli/engine_setup.h"
#include "cli/plugin_source.h"
#include "cli/publisher.h"
#include "cli/term.h"
#include "cli/text_file.h"
#include "codec/hex.h"
#include "codec/json.h"
#include "crypto/hash.h"
#include "plugins/engine_store.h"
#include "plugins/plugin_file.h"

namespace aioss::cli {
namespace {

using codec::OrderedJson;

Result<Config> config_of(const Services& services, const Invocation& invocation) {
  return load_config(services.files, services.environment, invocation.config);
}

Result<std::string> directory_of(const Config& config) {
  const std::string directory = config.text(Key::kEnginesDir);
  if (!directory.empty()) return directory;
  return Error{Code::kUsage, "HOME is not set; name the engines' folder with --engines-dir"};
}

// ---- list ---------------------------------------------------------------------------------------

struct Row {
  std::string name, version, origin, sha256, problem;
};

Result<std::vector<Row>> rows_of(const Services& services, const Config& config) {
  std::vector<Row> rows;
  for (const EngineVersion& engine : services.engines()) {
    rows.push_back({engine.name, engine.version, "linked", "", ""});
  }
  if (services.embedded) {
    for (const EmbeddedEngine& engine : services.embedded()) {
      const std::string level = engine.cpu_level.empty() ? "" : " for " + engine.cpu_level;
      rows.push_back({engine.name, engine.version, "embedded" + level,
                      codec::to_hex(crypto::sha256(engine.bytes)), ""});
    }
  }
  AIOSS_TRY(const plugins::Trust trust, engine_trust(services, config));
  const plugins::InstalledEngines found =
      plugins::read_engines(services.files, config.text(Key::kEnginesDir), trust);
  for (const plugins::EngineImage& engine : found.engines) {
    const Status free = check_not_own(services, engine.name);
    rows.push_back({engine.name, engine.version, engine.origin, codec::to_hex(engine.sha256),
                    free ? "" : free.error().message});
  }
  for (const plugins::LeftOut& left : found.left_out) {
    rows.push_back({left.name, "", "", "", left.why.message});
  }
  return rows;
}

Result<std::string> list(const Services& services, const Invocation& invocation) {
  AIOSS_TRY(const Config config, config_of(services, invocation));
  AIOSS_TRY(const std::vector<Row> rows, rows_of(services, config));
  if (invocation.has("--json")) {
    OrderedJson out = OrderedJson::array();
    for (const Row& row : rows) {
      OrderedJson one;
      one["name"] = row.name;
      one["version"] = row.version;
      one["origin"] = row.origin;
      one["sha256"] = row.sha256;
      one["problem"] = row.problem.empty() ? OrderedJson(nullptr) : OrderedJson(row.problem);
      out.push_back(std::move(one));
    }
    return codec::dump_json(out) + "\n";
  }
  Table table({{"NAME"}, {"VERSION"}, {"SHA-256"}, {"WHERE"}});
  for (const Row& row : rows) {
    const bool fine = row.problem.empty();
    table.add({row.name, row.version, row.sha256.substr(0, 12),
               fine ? row.origin : "left out: " + row.problem});
  }
  return table.render(services.console.table_columns(), services.console.facts().output_color);
}

// ---- add ----------------------------------------------------------------------------------------

Result<std::string> add(const Services& services, const Invocation& invocation) {
  const std::string path = invocation.operand(0);
  AIOSS_TRY(const Config config, config_of(services, invocation));
  AIOSS_TRY(const std::string directory, directory_of(config));
  auto manifest = manifest_of_plugin(services, config, path);
  if (!manifest) {
    const bool named = manifest.error().message.find(path) != std::string::npos;
    return named ? manifest.error() : std::move(manifest).error().with_context(path);
  }
  AIOSS_CHECK(
      plugins::add_engine(services.files, directory, *manifest, path, invocation.has("--force")));
  if (!invocation.has("--json")) {
    return "added engine " + manifest->name + " " + manifest->version + "; use it with --engine " +
           manifest->name + "\n";
  }
  OrderedJson out;
  out["name"] = manifest->name;
  out["version"] = manifest->version;
  out["sha256"] = codec::to_hex(manifest->sha256);
  out["signed"] = !manifest->signature.empty();
  out["path"] = plugins::plugin_path(directory, manifest->name);
  return codec::dump_json(out) + "\n";
}

// ---- remove, sign -------------------------------------------------------------------------------

Result<std::string> remove(const Services& services, const Invocation& invocation) {
  AIOSS_TRY(const Config config, config_of(services, invocation));
  AIOSS_TRY(const std::string directory, directory_of(config));
  const std::string name = invocation.operand(0);
  AIOSS_CHECK(plugins::remove_engine(services.files, directory, name));
  if (!invocation.has("--json")) return "removed engine " + name + "\n";
  OrderedJson out;
  out["removed"] = name;
  return codec::dump_json(out) + "\n";
}

Result<std::string> sign(const Services& services, const Invocation& invocation) {
  const std::string path = invocation.operand(0);
  AIOSS_TRY(const std::optional<Publisher> publisher, publisher_of(services, invocation));
  if (!publisher) {
    return Error{Code::kUsage,
                 "with which key? Give --sign KEYFILE, and --new-key NAME to make it"};
  }
  AIOSS_TRY(const plugins::PluginFile file, plugins::read_plugin(services.files, path));
  AIOSS_TRY(const std::string note,
            sign_note(signed_engine(file.sha256), publisher->vkey.name, *publisher->key));
  const std::string beside = path + std::string(kBundleNoteSuffix);
  AIOSS_CHECK(write_text(services, beside, note));
  const std::string vkey = ledger::format_verifier_key(publisher->vkey);
  if (!invocation.has("--json")) {
    services.console.note("aioss: " + beside + " is written; the key follows");
    return vkey + "\n";
  }
  OrderedJson out;
  out["note"] = beside;
  out["sha256"] = codec::to_hex(file.sha256);
  out["vkey"] = vkey;
  return codec::dump_json(out) + "\n";
}

}  // namespace

int engine_list_command(const Services& services, const Invocation& invocation) {
  return services.console.print(list(services, invocation));
}

int engine_add_command(const Services& services, const Invocation& invocation) {
  return services.console.print(add(services, invocation));
}

int engine_remove_command(const Services& services, const Invocation& invocation) {
  return services.console.print(remove(services, invocation));
}

int engine_sign_command(const Services& services, const Invocation& invocation) {
  return services.console.print(sign(services, invocation));
}

}  // namespace aioss::cli
