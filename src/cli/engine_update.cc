#include "cli/engine_update.h"

#include <string_view>
#include <utility>

#include "base/strings.h"
#include "plugins/engine_store.h"

namespace aioss::cli {
namespace {

std::string before_of(const std::string& directory) {
  return directory + "/before";
}

Result<plugins::Manifest> installed(os::FileSystem& fs, const std::string& directory,
                                    const std::string& name) {
  AIOSS_TRY(const Bytes text,
            os::read_file(fs, plugins::manifest_path(directory, name), plugins::kManifestBytesMax));
  return plugins::parse_manifest(as_text(text));
}

Status copy(os::FileSystem& fs, const std::string& name, const std::string& from,
            const std::string& to) {
  AIOSS_TRY(const plugins::Manifest manifest, installed(fs, from, name));
  return plugins::add_engine(fs, to, manifest, plugins::plugin_path(from, name), true);
}

Status remove_if_there(os::FileSystem& fs, const std::string& directory, const std::string& name) {
  const Status removed = plugins::remove_engine(fs, directory, name);
  return !removed && removed.error().code == Code::kNotFound ? ok() : removed;
}

// Keeps what there is.
Result<EngineBefore> keep(os::FileSystem& fs, const std::string& directory,
                          const std::string& name) {
  const auto now = installed(fs, directory, name);
  if (!now && now.error().code != Code::kNotFound) {
    return Error{now.error().code, "what is installed is damaged (" + now.error().message +
                                       "); 'aioss engine remove " + name + "' first"};
  }
  const std::string before = before_of(directory);
  if (!now) AIOSS_CHECK(remove_if_there(fs, before, name));
  if (now) AIOSS_CHECK(copy(fs, name, directory, before));
  return EngineBefore{name, now.has_value()};
}

Status install(os::FileSystem& fs, const std::string& directory, const EngineUpdate& update,
               std::vector<EngineBefore>& done) {
  AIOSS_TRY(EngineBefore before, keep(fs, directory, update.manifest.name));
  // From here on something of it may be there, even if it fails.
  done.push_back(std::move(before));
  return plugins::add_engine(fs, directory, update.manifest, update.path, true);
}

}  // namespace

bool is_installed(os::FileSystem& fs, const std::string& directory, const EngineUpdate& update) {
  const auto now = installed(fs, directory, update.manifest.name);
  return now && now->sha256 == update.manifest.sha256;
}

Result<std::vector<EngineBefore>> install_all(os::FileSystem& fs, const std::string& directory,
                                              const std::vector<EngineUpdate>& updates) {
  std::vector<EngineBefore> done;
  for (const EngineUpdate& update : updates) {
    Status put = install(fs, directory, update, done);
    if (put) continue;
    Error why = std::move(put).error().with_context("engine '" + update.manifest.name + "'");
    if (const Status back = take_back(fs, directory, done); !back) {
      why.message += "; and what is installed already stays: " + back.error().message;
    }
    return why;
  }
  return done;
}

Status take_back(os::FileSystem& fs, const std::string& directory,
                 const std::vector<EngineBefore>& engines) {
  Status all = ok();
  for (const EngineBefore& engine : engines) {
    Status back = engine.had_one ? go_back(fs, directory, engine.name)
                                 : remove_if_there(fs, directory, engine.name);
    if (!back && all) all = std::move(back).error().with_context("engine '" + engine.name + "'");
  }
  return all;
}

Status go_back(os::FileSystem& fs, const std::string& directory, const std::string& name) {
  const std::string before = before_of(directory);
  if (!installed(fs, before, name)) {
    return Error{Code::kNotFound,
                 "of engine '" + name + "' nothing is kept to go back to; see " + before};
  }
  return copy(fs, name, before, directory);
}

}  // namespace aioss::cli
