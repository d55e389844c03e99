// `aioss models`: the catalogue as the server would see it, from the disk alone. No worker, no
// ledger.
#include "base/clock.h"
#include "base/strings.h"
#include "cli/command_list.h"
#include "cli/model_store.h"
#include "cli/term.h"
#include "codec/json.h"
#include "runtime/catalogue/catalogue.h"

namespace aioss::cli {
namespace {

std::string models_json(const runtime::Catalogue& catalogue, const std::string& directory) {
  codec::OrderedJson models = codec::OrderedJson::array();
  for (const auto& [name, entry] : catalogue.models) {
    codec::OrderedJson model;
    model["name"] = name;
    model["engine"] = entry.engine;
    model["bytes"] = entry.file_bytes;
    model["modified"] = entry.modified_unix_s;
    model["paths"] = entry.paths;
    if (!entry.settings.aliases.empty()) model["aliases"] = entry.settings.aliases;
    if (entry.problem) model["problem"] = entry.problem->message;
    models.push_back(std::move(model));
  }
  codec::OrderedJson adapters = codec::OrderedJson::array();
  for (const auto& [name, entry] : catalogue.adapters) {
    codec::OrderedJson adapter{
        {"name", name}, {"engine", entry.engine}, {"bytes", entry.file.size}, {"path", entry.path}};
    if (entry.problem) adapter["problem"] = entry.problem->message;
    adapters.push_back(std::move(adapter));
  }
  codec::OrderedJson out;
  out["models_dir"] = directory;
  out["models"] = std::move(models);
  if (!adapters.empty()) out["adapters"] = std::move(adapters);
  out["notices"] = catalogue.notices;
  return codec::dump_json(out) + "\n";
}

std::string as_table(const runtime::Catalogue& catalogue, const Console& console) {
  Table table({{"NAME"}, {"SIZE", Table::Align::kRight}, {"MODIFIED"}, {"NOTE"}});
  for (const auto& [name, entry] : catalogue.models) {
    table.add({name, human_bytes(entry.file_bytes), utc_time(entry.modified_unix_s),
               entry.problem ? entry.problem->message : ""});
  }
  for (const auto& [name, entry] : catalogue.adapters) {
    table.add({name, human_bytes(entry.file.size), utc_time(entry.file.modified_ns / kNsPerSecond),
               entry.problem ? entry.problem->message : "adapter (LoRA)"});
  }
  return table.render(console.table_columns(), console.facts().output_color);
}

}  // namespace

int models_command(const Services& services, const Invocation& invocation) {
  Console& console = services.console;
  const auto config = load_config(services.files, services.environment, invocation.config);
  if (!config) return console.fail(config.error());
  const auto store = open_store(services, *config);
  if (!store) return console.fail(store.error());
  const std::string& directory = store->directory;
  const runtime::Catalogue* const catalogue = &store->catalogue;
  if (invocation.has("--json")) {
    return console.print(models_json(*catalogue, directory));
  }
  for (const std::string& notice : catalogue->notices) console.note("aioss: " + notice);
  if (catalogue->models.empty() && catalogue->adapters.empty()) {
    console.note("aioss: no models in " + directory +
                 "; 'aioss models add FILE' puts one there, or name another folder with "
                 "--models-dir");
    return 0;
  }
  const bool written = console.out(as_table(*catalogue, console));
  return written ? 0 : static_cast<int>(ExitCode::kFailure);
}

}  // namespace aioss::cli
