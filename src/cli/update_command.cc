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
#include "cli/command_list.h"
#include "cli/engine_setup.h"
#include "cli/engine_update.h"
#include "cli/interrupt.h"
#include "cli/plugin_source.h"
#include "cli/server_access.h"
#include "codec/json.h"
#include "plugins/engine_store.h"

namespace aioss::cli {
namespace {

constexpr std::string_view kPlugin = ".so";
constexpr std::chrono::milliseconds kBetween{200};

struct Place {
  Config config;
  std::string directory;
};

Result<Place> place_of(const Services& services, const Invocation& invocation) {
  Place place;
  AIOSS_TRY(place.config, load_config(services.files, services.environment, invocation.config));
  place.directory = place.config.text(Key::kEnginesDir);
  if (place.directory.empty()) {
    return Error{Code::kUsage, "HOME is not set; name the engines' folder with --engines-dir"};
  }
  return place;
}

// ---- what is to be installed --------------------------------------------------------------------

// All of them, or none is installed.
Result<std::vector<EngineUpdate>> updates_in(const Services& services, const Place& place,
                                             const std::string& bundle) {
  AIOSS_TRY(const std::vector<std::string> names, services.files.list(bundle));
  std::vector<EngineUpdate> updates;
  for (const std::string& name : names) {
    if (!name.ends_with(kPlugin)) continue;
    if (updates.size() >= plugins::kEnginesMax) {
      return Error{Code::kTooLarge, "there are more than " + std::to_string(plugins::kEnginesMax) +
                                        " engines in " + bundle};
    }
    const std::string path = bundle + "/" + name;
    auto manifest = manifest_of_plugin(services, place.config, path);
    if (!manifest) return std::move(manifest).error().with_context(name);
    updates.push_back({std::move(*manifest), path});
  }
  if (updates.empty()) return Error{Code::kNotFound, "there is no engine (.so) in " + bundle};
  return updates;
}

// ---- a server that runs -------------------------------------------------------------------------

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
        std::find(engines.begin(), engines.end(), text_of_page(aioss, "engine")) != engines.end();
    if (!is_of || found == aioss.end() || !found->is_object()) continue;
    const std::string id = text_of_page(model, "id");
    const auto orders = found->find("orders");
    const bool is_number = orders != found->end() && orders->is_number_unsigned();
    const std::uint64_t count = is_number ? orders->get<std::uint64_t>() : 0;
    seen.counts[id] = count;
    const auto known = before.find(id);
    if (known != before.end() && known->second == count) continue;
    const std::string step = text_of_page(*found, "step"),
                      outcome = text_of_page(*found, "outcome");
    if (step == "loading" || step == "trying" || step == "moving") seen.under_way = true;
    if (outcome == "failed" || outcome == "rolled_back") {
      seen.problem = "model '" + id + "': " + text_of_page(*found, "reason");
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
  AIOSS_TRY(std::vector<EngineUpdate> updates, updates_in(services, place, invocation.operand(0)));
  std::erase_if(updates, [&](const EngineUpdate& update) {
    return is_installed(services.files, place.directory, update);
  });
  if (updates.empty()) return std::string("all of these engines are installed already\n");
  AIOSS_TRY(const std::vector<EngineBefore> before,
            install_all(services.files, place.directory, updates));
  std::vector<std::string> names;
  std::string shown;
  for (const EngineUpdate& update : updates) {
    names.push_back(update.manifest.name);
    shown += (shown.empty() ? "" : ", ") + update.manifest.name + " " + update.manifest.version;
  }
  const auto runs = tell_server(services, invocation, names);
  if (runs) return "updated " + shown + told(*runs);
  if (runs.error().code != Code::kEngineFailed) return runs.error();
  // The server has gone back by itself; its next start is to find the same.
  const Status back = take_back(services.files, place.directory, before);
  (void)tell_server(services, invocation, names);
  if (!back) {
    return Error{Code::kEngineFailed, "the update failed: " + runs.error().message +
                                          "; and it cannot be taken back: " + back.error().message};
  }
  return Error{Code::kEngineFailed, "the update is taken back: " + runs.error().message};
}

Result<std::string> rollback(const Services& services, const Invocation& invocation) {
  AIOSS_TRY(const Place place, place_of(services, invocation));
  const std::string name = invocation.operand(0);
  if (!plugins::is_plugin_name(name)) {
    return Error{Code::kUsage, "'" + one_line(name) + "' is not the name of an engine"};
  }
  AIOSS_CHECK(check_not_own(services, name));
  AIOSS_CHECK(go_back(services.files, place.directory, name));
  AIOSS_TRY(const bool runs, tell_server(services, invocation, {name}));
  return "engine " + name + " is what it was" + told(runs);
}

}  // namespace

int update_apply_command(const Services& services, const Invocation& invocation) {
  return services.console.print(apply(services, invocation));
}

int update_rollback_command(const Services& services, const Invocation& invocation) {
  return services.console.print(rollback(services, invocation));
}

}  // namespace aioss::cli
