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

bool is_installed(os::FileSystem& fs, const std::string& directory, const EngineUpdate& update);

// What was there is kept in the folder `before` of the directory; what that folder has of an engine
// that is not there any more goes, for it is not what was there before. An error: nothing is
// installed, or the error says what could not be taken back.
Result<std::vector<EngineBefore>> install_all(os::FileSystem& fs, const std::string& directory,
                                              const std::vector<EngineUpdate>& updates);
// All are tried; the error is that of the first that cannot be put back, with its name.
Status take_back(os::FileSystem& fs, const std::string& directory,
                 const std::vector<EngineBefore>& engines);
// To what `before` has of it. kNotFound: nothing.
Status go_back(os::FileSystem& fs, const std::string& directory, const std::string& name);

}  // namespace aioss::cli
