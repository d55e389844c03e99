// `aioss models rm`, `show` and `verify`: one model of the catalogue, or all.
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "cli/command_list.h"
#include "cli/inspect_command.h"
#include "cli/ledger_session.h"
#include "cli/model_store.h"
#include "cli/term.h"
#include "codec/hex.h"
#include "codec/json.h"
#include "runtime/catalogue/hash_cache.h"

namespace aioss::cli {
namespace {

using codec::OrderedJson;
using runtime::CatalogueEntry;

// ---- rm -----------------------------------------------------------------------------------------

Result<std::string> remove(const Services& services, const Config& config,
                           const Invocation& invocation) {
  AIOSS_TRY(const ModelStore store, open_store(services, config));
  const std::string& name = invocation.operands[0];
  if (store.catalogue.aliases.contains(name)) {
    return Error{Code::kUsage, "'" + name + "' is an alias of '" +
                                   store.catalogue.aliases.find(name)->second +
                                   "'; name the model itself"};
  }
  AIOSS_TRY(const CatalogueEntry* entry, find_model(store, name));
  if (entry->paths.empty()) return Error{Code::kNotFound, entry->problem->message};
  for (const std::string& path : entry->paths) AIOSS_CHECK(services.files.remove(path));
  const bool is_model = store.catalogue.models.contains(entry->name);
  const std::string settings = store.directory + "/" + entry->name + ".toml";
  if (is_model && services.files.info(settings)) AIOSS_CHECK(services.files.remove(settings));
  AIOSS_CHECK(services.files.sync_directory(store.directory));
  if (!invocation.has("--json")) {
    return "removed " + entry->name + ", " + human_bytes(entry->file_bytes) + "\n";
  }
  OrderedJson out;
  out["removed"] = entry->name;
  out["bytes"] = entry->file_bytes;
  out["paths"] = entry->paths;
  return codec::dump_json(out) + "\n";
}

// ---- show ---------------------------------------------------------------------------------------

struct Shown {
  std::vector<std::string> adapters;
  const CatalogueEntry* entry = nullptr;
  std::vector<std::optional<Digest>> digests;  // of the parts, if they are known
  std::optional<InspectReport> report;         // of the first part; the sums are of all
};

Result<Shown> look_at(const Services& services, const ModelStore& store, const std::string& name) {
  Shown shown;
  AIOSS_TRY(shown.entry, find_model(store, name));
  if (store.catalogue.models.contains(shown.entry->name)) {
    shown.adapters = runtime::adapters_of(store.catalogue, *shown.entry);
  }
  const runtime::HashCache cache(services.files, state_directory(services));
  for (const os::FileInfo& part : shown.entry->parts) shown.digests.push_back(cache.find(part));
  for (const std::string& path : shown.entry->paths) {
    auto report = inspect_file(services, path);
    if (!report) return std::move(report).error().with_context(path);
    if (!shown.report) {
      shown.report = std::move(*report);
      continue;
    }
    shown.report->parameters += report->parameters;
    shown.report->tensors += report->tensors;
    shown.report->tensor_bytes += report->tensor_bytes;
    shown.report->file_bytes += report->file_bytes;
    for (const InspectReport::TypeSum& sum : report->quantization) {
      InspectReport::TypeSum* same = nullptr;
      for (auto& known : shown.report->quantization) {
        if (known.type == sum.type) same = &known;
      }
      if (same == nullptr) {
        shown.report->quantization.push_back(sum);
        continue;
      }
      same->tensors += sum.tensors;
      same->parameters += sum.parameters;
      same->bytes += sum.bytes;
    }
  }
  if (shown.report && shown.report->parameters > 0) {
    shown.report->split_count = 1;  // all of them are counted here
    shown.report->bits_per_weight = 8.0 * static_cast<double>(shown.report->tensor_bytes) /
                                    static_cast<double>(shown.report->parameters);
  }
  return shown;
}

OrderedJson settings_json(const runtime::ModelSettings& settings) {
  OrderedJson out = OrderedJson::object();
  const auto add = [&out](const char* name, const auto& value) {
    if (value) out[name] = *value;
  };
  add("ctx", settings.context_tokens);
  add("parallel", settings.parallel);
  add("threads", settings.threads);
  add("kv_type", settings.kv_type);
  add("engine", settings.engine);
  add("device", settings.device);
  add("keep_alive", settings.keep_alive_seconds);
  add("warm_keep_alive", settings.warm_keep_alive_seconds);
  add("priority", settings.priority);
  add("pinned", settings.pinned);
  add("max_bytes", settings.max_bytes);
  add("adapters", settings.adapters);
  return out;
}

std::string show_json(const Shown& shown) {
  const CatalogueEntry& entry = *shown.entry;
  OrderedJson out;
  out["name"] = entry.name;
  out["aliases"] = entry.settings.aliases;
  out["settings"] = settings_json(entry.settings);
  if (!shown.adapters.empty()) out["adapters"] = shown.adapters;
  if (entry.problem) out["problem"] = entry.problem->message;
  OrderedJson files = OrderedJson::array();
  for (std::size_t i = 0; i < entry.paths.size(); ++i) {
    OrderedJson file{{"path", entry.paths[i]}, {"bytes", entry.parts[i].size}};
    file["sha256"] =
        shown.digests[i] ? OrderedJson(codec::to_hex(*shown.digests[i])) : OrderedJson(nullptr);
    files.push_back(std::move(file));
  }
  out["files"] = std::move(files);
  if (shown.report) {
    out["model"] = inspect_object(*shown.report);
  }
  return codec::dump_json(out) + "\n";
}

std::string show_text(const Shown& shown, const Console& console) {
  const CatalogueEntry& entry = *shown.entry;
  const bool color = console.facts().output_color;
  std::string out = paint(entry.name, Color::kBold, color) + "\n";
  if (entry.problem) out += "cannot be loaded: " + entry.problem->message + "\n";
  for (std::size_t i = 0; i < entry.paths.size(); ++i) {
    out += entry.paths[i] + "\n  SHA-256 " +
           (shown.digests[i] ? codec::to_hex(*shown.digests[i])
                             : "not known yet; 'aioss models verify' reads the file") +
           "\n";
  }
  if (const std::string settings = entry.settings.text(); !settings.empty()) {
    out += "settings\n" + settings;
  }
  if (!shown.adapters.empty()) out += "adapters\n";
  for (const std::string& name : shown.adapters) out += "  " + name + "\n";
  if (shown.report) out += "\n" + inspect_text(*shown.report, console.table_columns(), color);
  return out;
}

// ---- verify -------------------------------------------------------------------------------------

struct Verified {
  std::string model, file, verdict;
  std::string digest;  // hex
  bool good = false;
};

class Verifier {
 public:
  Verifier(const Services& services, const ModelStore& store)
      : services_(services), store_(store), cache_(services.files, state_directory(services)) {}

  Result<std::vector<Verified>> run(const std::vector<const CatalogueEntry*>& entries) {
    std::uint64_t bytes = 0;
    for (const CatalogueEntry* entry : entries) bytes += entry->file_bytes;
    FileReader reader(services_, "reading", bytes);
    std::vector<Verified> all;
    for (const CatalogueEntry* entry : entries) {
      if (entry->paths.empty())
        all.push_back({entry->name, "", entry->problem->message, "", false});
      for (const std::string& path : entry->paths) {
        AIOSS_TRY(Verified one, verify(*entry, path, reader));
        all.push_back(std::move(one));
      }
    }
    return all;
  }

 private:
  Result<Verified> verify(const CatalogueEntry& entry, const std::string& path,
                          FileReader& reader) {
    AIOSS_TRY(const auto file, services_.files.open(path, os::OpenMode::kRead));
    AIOSS_TRY(const os::FileInfo before, file->info());
    AIOSS_TRY(const Digest digest, reader.read(*file, nullptr));
    AIOSS_TRY(const os::FileInfo after, file->info());
    Verified out{entry.name, path, "", codec::to_hex(digest), false};
    const std::optional<Digest> known = cache_.find(before);
    const auto& allowed = store_.catalogue.allowed;
    if (!runtime::is_same_file(before, after)) {
      out.verdict = "changed while it was read";
    } else if (known && *known != digest) {
      out.verdict = "DIFFERS from what was read before, though its time is the same";
    } else if (allowed && !allowed->check_names({path})) {
      out.verdict = "NOT in the list of allowed models";
    } else if (allowed && !allowed->check({path}, {digest})) {
      out.verdict = "DIFFERS from the list of allowed models";
    } else {
      out.good = true;
      out.verdict = allowed ? "as listed" : (known ? "as before" : "read for the first time");
      cache_.put(before, digest, services_.clock.wall_ns());
    }
    return out;
  }

  const Services& services_;
  const ModelStore& store_;
  runtime::HashCache cache_;
};

std::string verified_json(const std::vector<Verified>& all) {
  OrderedJson files = OrderedJson::array();
  bool good = true;
  for (const Verified& one : all) {
    good = good && one.good;
    files.push_back({{"model", one.model},
                     {"path", one.file},
                     {"sha256", one.digest},
                     {"ok", one.good},
                     {"verdict", one.verdict}});
  }
  OrderedJson out;
  out["ok"] = good;
  out["files"] = std::move(files);
  return codec::dump_json(out) + "\n";
}

std::string verified_text(const std::vector<Verified>& all, const Console& console) {
  Table table({{"MODEL"}, {"FILE"}, {"SHA-256"}, {"VERDICT"}});
  for (const Verified& one : all) {
    table.add({one.model, file_name_of(one.file), one.digest.substr(0, 16), one.verdict});
  }
  return table.render(console.table_columns(), console.facts().output_color);
}

}  // namespace

int models_rm_command(const Services& services, const Invocation& invocation) {
  const auto config = load_config(services.files, services.environment, invocation.config);
  if (!config) return services.console.fail(config.error());
  return services.console.print(remove(services, *config, invocation));
}

int models_show_command(const Services& services, const Invocation& invocation) {
  Console& console = services.console;
  const auto config = load_config(services.files, services.environment, invocation.config);
  if (!config) return console.fail(config.error());
  const auto store = open_store(services, *config);
  if (!store) return console.fail(store.error());
  const auto shown = look_at(services, *store, invocation.operand(0));
  if (!shown) return console.fail(shown.error());
  if (invocation.has("--json")) return console.print(show_json(*shown));
  return console.print(show_text(*shown, console));
}

int models_verify_command(const Services& services, const Invocation& invocation) {
  Console& console = services.console;
  const auto config = load_config(services.files, services.environment, invocation.config);
  if (!config) return console.fail(config.error());
  const auto store = open_store(services, *config);
  if (!store) return console.fail(store.error());
  std::vector<const CatalogueEntry*> entries;
  if (invocation.operands.empty()) {
    for (const auto& [name, entry] : store->catalogue.models) entries.push_back(&entry);
    for (const auto& [name, entry] : store->adapters) entries.push_back(&entry);
  } else {
    const auto entry = find_model(*store, invocation.operand(0));
    if (!entry) return console.fail(entry.error());
    entries.push_back(*entry);
  }
  const auto all = Verifier(services, *store).run(entries);
  if (!all) return console.fail(all.error());
  const int written =
      console.print(invocation.has("--json") ? verified_json(*all) : verified_text(*all, console));
  bool good = true;
  for (const Verified& one : *all) good = good && one.good;
  return good ? written : static_cast<int>(ExitCode::kFailure);
}

}  // namespace aioss::cli
