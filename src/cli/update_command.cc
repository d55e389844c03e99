// `aioss update apply|rollback`: engines from a folder that was carried here, into the engine
// directory and into a server that runs. What was there before is kept beside, so that it can be
// gone back to. Without network.
#include <chrono>
#include <memory>
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
#include "cli/update_order.h"
#include "plugins/engine_store.h"

namespace aioss::cli {
namespace {

constexpr std::string_view kPlugin = ".so";

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

// Made once all children have ended: threads inherit what signals do.
Result<UpdateServer> server_of(const Services& services, const Invocation& invocation) {
  AIOSS_TRY(ServerAccess access, server_access(services, invocation));
  access.not_found_is_nobody = true;
  AIOSS_TRY(std::shared_ptr<Interrupt> interrupt, Interrupt::create());
  UpdateServer server;
  server.page = [access](const std::string& path) { return get_page(access, path); };
  server.order = [access](const std::string& path) { return post_order(access, path); };
  server.pause = [interrupt] { return interrupt->wait_for(kAskAgain); };
  return server;
}

// ---- orders -------------------------------------------------------------------------------------

Result<std::string> apply(const Services& services, const Invocation& invocation) {
  AIOSS_TRY(const Place place, place_of(services, invocation));
  if (place.config.text(Key::kEnginesKey).empty() && !invocation.has("--unsigned")) {
    return Error{Code::kUsage,
                 "whose updates are trusted? Give the publisher's key with --engines-key, or "
                 "--unsigned to take them from anybody"};
  }
  AIOSS_TRY(const std::vector<EngineUpdate> updates,
            updates_in(services, place, invocation.operand(0)));
  AIOSS_TRY(const UpdateServer server, server_of(services, invocation));
  return order_updates(services.files, place.directory, updates, server);
}

Result<std::string> rollback(const Services& services, const Invocation& invocation) {
  AIOSS_TRY(const Place place, place_of(services, invocation));
  const std::string name = invocation.operand(0);
  if (!plugins::is_plugin_name(name)) {
    return Error{Code::kUsage, "'" + one_line(name) + "' is not the name of an engine"};
  }
  AIOSS_CHECK(check_not_own(services, name));
  AIOSS_TRY(const UpdateServer server, server_of(services, invocation));
  return order_rollback(services.files, place.directory, name, server);
}

}  // namespace

int update_apply_command(const Services& services, const Invocation& invocation) {
  return services.console.print(apply(services, invocation));
}

int update_rollback_command(const Services& services, const Invocation& invocation) {
  return services.console.print(rollback(services, invocation));
}

}  // namespace aioss::cli
