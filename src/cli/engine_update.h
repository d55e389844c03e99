// The files of `aioss update`: several engines into the engine directory, all or none, and back.
// Nothing here runs a byte of a plugin. Blocking; one thread.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "os/file.h"
#include "plugins/manifest.h"

namespace aioss::cli {

struct EngineUpdate {
  plugins::Manifest manifest;
  std::string path;  // of the plugin that comes
};
// What an engine is put back to: to none, unless there was one.
struct EngineBefore {
  std::string name;
  bool had_one = false;
};

// The very file, and the very manifest: the same bytes may come signed now.
bool is_installed(os::FileSystem& fs, const std::string& directory, const EngineUpdate& update);
// kNotFound; kCorrupt: it says nothing. The file beside it is not looked at.
Result<plugins::Manifest> installed_manifest(os::FileSystem& fs, const std::string& directory,
                                             const std::string& name);

// What was there is kept in the folder `before` of the directory, and what that had in its own
// `before`, for take_back(); what that folder has of an engine that is not there any more goes, for
// it is not what was there before. An update that was cut short, by a power failure too, is done
// again. An error: nothing is installed, or the error says what could not be taken back. kCorrupt:
// what is installed is damaged, and what to do about that.
Result<std::vector<EngineBefore>> install_all(os::FileSystem& fs, const std::string& directory,
                                              const std::vector<EngineUpdate>& updates);
// What could be gone back to before the update can be again. All are tried; the error is that of
// the first that cannot be put back, with its name.
Status take_back(os::FileSystem& fs, const std::string& directory,
                 const std::vector<EngineBefore>& engines);
// Which of them were there before, by what is kept now.
std::vector<EngineBefore> kept_before(os::FileSystem& fs, const std::string& directory,
                                      const std::vector<EngineUpdate>& updates);
// To what `before` has of it. kNotFound: nothing; kConflict: that is installed already;
// kUnsupported: of another ABI; kCorrupt: damaged.
Status go_back(os::FileSystem& fs, const std::string& directory, const std::string& name);

}  // namespace aioss::cli
