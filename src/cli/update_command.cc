// `aioss update apply|rollback`: engines from a folder that was carried here, into the engine
// directory and into a server that runs. What was there before is kept beside, so that it can be
// gone back to. Without network.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "cli/bundle.h"
#include "cli/command_list.h"
#include "cli/engine_child.h"
#include "cli/engine_setup.h"
#include "cli/interrupt.h"
#include "cli/server_access.h"
#include "cli/term.h"
#include "codec/json.h"
#include "plugins/engine_store.h"
#include "plugins/plugin_file.h"

namespace aioss::cli {
namespace {

constexpr std::string_view kPlugin = ".so";
constexpr std::string_view kBefore = "/before";  // in the engine directory
constexpr std::chrono::milliseconds kBetween{200};

struct Update {
  plugins::Manifest manifest;
  std::string path;
};

struct Place {
  Config config;
  std::string directory;
  plugins::Trust trust;
  std::string before() const { return directory + std::string(kBefore); }
};

Result<Place> place_of(const Services& services, const Invocation& invocation) {
  Place place;
  AIOSS_TRY(place.config, load_config(services.files, services.environment, invocation.config));
  place.directory = place.config.text(Key::kEnginesDir);
  if (place.directory.empty()) {
    return Error{Code::kUsage, "HOME is not set; name the engines' folder with --engines-dir"};
  }
  AIOSS_TRY(place.trust, engine_trust(services, place.config));
  return place;
}

Result<std::string> signature_beside(const Services& services, const std::string& path) {
  auto note = os::read_file(services.files, path + std::string(kBundleNoteSuffix),
                            plugins::kSignatureBytesMax);
  if (note) return std::string(as_text(*note));
  if (note.error().code == Code::kNotFound) return std::string();
  return std::move(note).error();
}

// ---- what is to be installed --------------------------------------------------------------------

Result<Update> update_of(const Services& services, const Place& place, const std::string& path) {
  AIOSS_TRY(const plugins::PluginFile file, plugins::read_plugin(services.files, path));
  AIOSS_TRY(const EngineReport report, inspect_engine(file.file->get(), services.clock));
  if (is_linked_engine(services, report.name)) {
    return Error{Code::kConflict, "aioss has an engine '" + report.name + "' in itself"};
  }
  Update update;
  update.path = path;
  update.manifest.name = report.name;
  update.manifest.version = report.version;
  update.manifest.abi = report.abi;
  update.manifest.sha256 = file.sha256;
  AIOSS_TRY(update.manifest.signature, signature_beside(services, path));
  if (place.trust) AIOSS_CHECK(place.trust(update.manifest, report.name + std::string(kPlugin)));
  return update;
}

// All of them, or none is installed.
Result<std::vector<Update>> updates_in(const Services& services, const Place& place,
                                       const std::string& bundle) {
  AIOSS_TRY(const std::vector<std::string> names, services.files.list(bundle));
  std::vector<Update> updates;
  for (const std::string& name : names) {
    if (!name.ends_with(kPlugin)) continue;
    if (updates.size() >= plugins::kEnginesMax) {
      return Error{Code::kTooLarge, "there are more than " + std::to_string(plugins::kEnginesMax) +
                                        " engines in " + bundle};
    }
    auto update = update_of(services, place, bundle + "/" + name);
    if (!update) return std::move(update).error().with_context(name);
    updates.push_back(std::move(*update));
  }
  if (updates.empty()) return Error{Code::kNotFound, "there is no engine (.so) in " + bundle};
  return updates;
}

Result<plugins::Manifest> installed(const Services& services, const std::string& directory,
                                    const std::string& name) {
  AIOSS_TRY(const Bytes text, os::read_file(services.files, plugins::manifest_path(directory, name),
                                            plugins::kManifestBytesMax));
  return plugins::parse_manifest(as_text(text));
}

Status copy(const Services& services, const std::string& name, const std::string& from,
            const std::string& to) {
  AIOSS_TRY(const plugins::Manifest manifest, installed(services, from, name));
  return plugins::add_engine(services.files, to, manifest, plugins::plugin_path(from, name), true);
}

bool is_installed(const Services& services, const Place& place, const Update& update) {
  const auto now = installed(services, place.directory, update.manifest.name);
  return now && now->sha256 == update.manifest.sha256;
}

Status install(const Services& services, const Place& place, const Update& update) {
  const std::string& name = update.manifest.name;
  const auto now = installed(services, place.directory, name);
  if (now) {
    AIOSS_CHECK(services.files.make_directories(place.before()));
    AIOSS_CHECK(copy(services, name, place.directory, place.before()));
  }
  return plugins::add_engine(services.files, place.directory, update.manifest, update.path, true);
}

// ---- a server that runs -------------------------------------------------------------------------

std::string text(const codec::Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_string()) return "";
  return safe_text(found->get_ref<const std::string&>(), false);
}

// Of each model, how many switches it has had.
using Counts = std::map<std::string, std::uint64_t, std::less<>>;

struct Seen {
  Counts counts;
  bool under_way = false;
  std::string problem;  // of a model that did not take one of these engines
};

// What is new since `before`.
Seen look(const std::string& page, const std::vector<std::string>& engines, const Counts& before) {
  Seen seen;
  const auto json = codec::parse_json(page);
  if (!json || !json->is_object() || !json->contains("data")) return seen;
  for (const codec::Json& model : (*json)["data"]) {
    if (!model.is_object() || !model.contains("aioss")) continue;
    const codec::Json& aioss = model["aioss"];
    const auto found = aioss.find("engine_switch");
    const bool is_of =
        std::find(engines.begin(), engines.end(), text(aioss, "engine")) != engines.end();
    if (!is_of || found == aioss.end() || !found->is_object()) continue;
    const std::string id = text(model, "id");
    const auto orders = found->find("orders");
    const bool is_number = orders != found->end() && orders->is_number_unsigned();
    const std::uint64_t count = is_number ? orders->get<std::uint64_t>() : 0;
    seen.counts[id] = count;
    const auto known = before.find(id);
    if (known != before.end() && known->second == count) continue;
    const std::string step = text(*found, "step"), outcome = text(*found, "outcome");
    if (step == "loading" || step == "trying" || step == "moving") seen.under_way = true;
    if (outcome == "failed" || outcome == "rolled_back") {
      seen.problem = "model '" + id + "': " + text(*found, "reason");
    }
  }
  return seen;
}

// Has a server read the engine directory again, and waits until its models have taken what is
// there. True: one runs. kEngineFailed: a model did not take it.
Result<bool> tell_server(const Services& services, const Invocation& invocation,
                         const std::vector<std::string>& engines) {
  AIOSS_TRY(const ServerAccess access, server_access(services, invocation));
  const auto first = get_page(access, "/v1/models");
  const Counts before = first ? look(*first, engines, {}).counts : Counts();
  const auto told = post_order(access, "/admin/models/rescan");
  if (!told && told.error().code == Code::kNotFound) return false;
  if (!told) return told.error();
  AIOSS_TRY(const auto interrupt, Interrupt::create());
  for (;;) {
    AIOSS_TRY(const std::string page, get_page(access, "/v1/models"));
    const Seen seen = look(page, engines, before);
    if (!seen.problem.empty()) return Error{Code::kEngineFailed, seen.problem};
    if (!seen.under_way) return true;
    if (interrupt->wait_for(kBetween)) {
      return Error{Code::kCancelled, "no longer waiting; the update stands"};
    }
  }
}

// ---- orders -------------------------------------------------------------------------------------

Status go_back(const Services& services, const Place& place, const std::string& name) {
  if (!installed(services, place.before(), name)) {
    return Error{Code::kNotFound,
                 "of engine '" + name + "' nothing is kept to go back to; see " + place.before()};
  }
  return copy(services, name, place.before(), place.directory);
}

std::string told(bool runs) {
  return runs ? "; the server has taken it\n"
              : "; no server runs there, and the next one to start has it\n";
}

Result<std::string> apply(const Services& services, const Invocation& invocation) {
  AIOSS_TRY(const Place place, place_of(services, invocation));
  if (place.config.text(Key::kEnginesKey).empty() && !invocation.has("--unsigned")) {
    return Error{Code::kUsage,
                 "whose updates are trusted? Give the publisher's key with --engines-key, or "
                 "--unsigned to take them from anybody"};
  }
  AIOSS_TRY(std::vector<Update> updates, updates_in(services, place, invocation.operand(0)));
  std::erase_if(updates,
                [&](const Update& update) { return is_installed(services, place, update); });
  if (updates.empty()) return std::string("all of these engines are installed already\n");
  std::vector<std::string> names;
  std::string shown;
  for (const Update& update : updates) {
    AIOSS_CHECK(install(services, place, update));
    names.push_back(update.manifest.name);
    shown += (shown.empty() ? "" : ", ") + update.manifest.name + " " + update.manifest.version;
  }
  const auto runs = tell_server(services, invocation, names);
  if (runs) return "updated " + shown + told(*runs);
  if (runs.error().code != Code::kEngineFailed) return runs.error();
  // The server has gone back by itself; its next start is to find the same.
  for (const std::string& name : names) {
    if (const Status back = go_back(services, place, name); !back) {
      services.console.note("aioss: " + back.error().message);
    }
  }
  (void)tell_server(services, invocation, names);
  return Error{Code::kEngineFailed, "the update is taken back: " + runs.error().message};
}

Result<std::string> rollback(const Services& services, const Invocation& invocation) {
  AIOSS_TRY(const Place place, place_of(services, invocation));
  const std::string name = invocation.operand(0);
  if (!plugins::is_plugin_name(name)) {
    return Error{Code::kUsage, "'" + one_line(name) + "' is not the name of an engine"};
  }
  AIOSS_CHECK(go_back(services, place, name));
  AIOSS_TRY(const bool runs, tell_server(services, invocation, {name}));
  return "engine " + name + " is what it was" + told(runs);
}

int print(Console& console, const Result<std::string>& text) {
  if (!text) return console.fail(text.error());
  return console.out(*text) ? 0 : static_cast<int>(ExitCode::kFailure);
}

}  // namespace

int update_apply_command(const Services& services, const Invocation& invocation) {
  return print(services.console, apply(services, invocation));
}

int update_rollback_command(const Services& services, const Invocation& invocation) {
  return print(services.console, rollback(services, invocation));
}

}  // namespace aioss::cli
