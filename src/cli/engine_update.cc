#include "cli/engine_update.h"

#include <string_view>
#include <utility>

#include "plugins/engine_store.h"
#include "plugins/plugin_file.h"

namespace aioss::cli {
namespace {

std::string before_of(const std::string& directory) {
  return directory + "/before";
}

Status copy(os::FileSystem& fs, const std::string& name, const std::string& from,
            const std::string& to) {
  AIOSS_TRY(const plugins::Manifest manifest, installed_manifest(fs, from, name));
  const std::string path = plugins::plugin_path(from, name);
  const Status copied = plugins::add_engine(fs, to, manifest, path, true);
  // Where nobody else writes, they have not fitted since one of the two was replaced alone.
  if (copied || copied.error().code != Code::kConflict) return copied;
  return Error{Code::kCorrupt, path + " is not what its manifest says: its SHA-256 is another one"};
}

Status remove_if_there(os::FileSystem& fs, const std::string& directory, const std::string& name) {
  const Status removed = plugins::remove_engine(fs, directory, name);
  return !removed && removed.error().code == Code::kNotFound ? ok() : removed;
}

Error installed_is_damaged(const std::string& name, const Error& why) {
  return {Code::kCorrupt, "what is installed is damaged (" + why.message +
                              "); 'aioss engine remove " + name +
                              "' takes it away, 'aioss engine add FILE --force' replaces it"};
}

// A manifest without its file is what is left of a removal that was cut short.
bool has_plugin_file(os::FileSystem& fs, const std::string& directory, const std::string& name) {
  const auto file = fs.info(plugins::plugin_path(directory, name));
  return file || file.error().code != Code::kNotFound;
}

bool is_there(os::FileSystem& fs, const std::string& directory, const plugins::Manifest& wanted) {
  const auto now = installed_manifest(fs, directory, wanted.name);
  if (!now || *now != wanted) return false;
  const auto file = plugins::read_plugin(fs, plugins::plugin_path(directory, wanted.name));
  return file && file->sha256 == wanted.sha256;
}

// What was kept until now, for an update that fails.
Status keep_older(os::FileSystem& fs, const std::string& before, const std::string& name) {
  const Status copied = copy(fs, name, before, before_of(before));
  if (copied) return ok();
  const Code code = copied.error().code;
  // What cannot be gone back to anyway stops no update.
  if (code != Code::kNotFound && code != Code::kCorrupt) return copied;
  return remove_if_there(fs, before_of(before), name);
}

// If it fails, go_back() sees that what is kept is what is installed.
void put_back_older(os::FileSystem& fs, const std::string& before, const std::string& name) {
  const std::string older = before_of(before);
  const Status copied = copy(fs, name, older, before);
  if (copied || copied.error().code == Code::kNotFound) {
    if (!copied) (void)remove_if_there(fs, before, name);
    (void)remove_if_there(fs, older, name);
  }
}

// Keeps what there is.
Result<EngineBefore> keep(os::FileSystem& fs, const std::string& directory,
                          const std::string& name) {
  const std::string before = before_of(directory);
  const auto now = installed_manifest(fs, directory, name);
  if (!now && now.error().code != Code::kNotFound) return installed_is_damaged(name, now.error());
  if (!now || !has_plugin_file(fs, directory, name)) {
    AIOSS_CHECK(remove_if_there(fs, before, name));
    AIOSS_CHECK(remove_if_there(fs, before_of(before), name));
    return EngineBefore{name, false};
  }
  // An update that was cut short had kept what was there before it touched that; what was kept
  // until then is not to be written over.
  if (is_there(fs, before, *now)) return EngineBefore{name, true};
  AIOSS_CHECK(keep_older(fs, before, name));
  const Status copied = copy(fs, name, directory, before);
  if (copied) return EngineBefore{name, true};
  if (copied.error().code != Code::kCorrupt) return copied.error();
  return installed_is_damaged(name, copied.error());
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
  return is_there(fs, directory, update.manifest);
}

Result<plugins::Manifest> installed_manifest(os::FileSystem& fs, const std::string& directory,
                                             const std::string& name) {
  AIOSS_TRY(const Bytes text,
            os::read_file(fs, plugins::manifest_path(directory, name), plugins::kManifestBytesMax));
  return plugins::parse_manifest(as_text(text));
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
    Status back = engine.had_one ? copy(fs, engine.name, before_of(directory), directory)
                                 : remove_if_there(fs, directory, engine.name);
    if (back && engine.had_one) put_back_older(fs, before_of(directory), engine.name);
    if (!back && all) all = std::move(back).error().with_context("engine '" + engine.name + "'");
  }
  return all;
}

std::vector<EngineBefore> kept_before(os::FileSystem& fs, const std::string& directory,
                                      const std::vector<EngineUpdate>& updates) {
  std::vector<EngineBefore> out;
  for (const EngineUpdate& update : updates) {
    const std::string& name = update.manifest.name;
    out.push_back({name, has_plugin_file(fs, before_of(directory), name)});
  }
  return out;
}

Status go_back(os::FileSystem& fs, const std::string& directory, const std::string& name) {
  const std::string before = before_of(directory);
  const auto kept = installed_manifest(fs, before, name);
  if (!kept) {
    return Error{Code::kNotFound,
                 "of engine '" + name + "' nothing is kept to go back to; see " + before};
  }
  if (Status usable = plugins::check_abi(*kept); !usable) {
    return std::move(usable).error().with_context("what is kept of engine '" + name + "'");
  }
  if (is_there(fs, directory, *kept)) {
    return Error{Code::kConflict, "what is kept of engine '" + name + "' (" + kept->version +
                                      ") is what is installed: there is nothing older to go back "
                                      "to; a server that has another file reads this one at its "
                                      "next rescan (SIGHUP) or start"};
  }
  return copy(fs, name, before, directory);
}

}  // namespace aioss::cli
