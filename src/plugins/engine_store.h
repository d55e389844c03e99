// The engine directory: for each engine NAME.so and NAME.json. What is trusted of it is the
// caller's to say; what is not, is left out with the reason, and the others go on. Nothing here
// runs a byte of a plugin. Blocking; one thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "os/file.h"
#include "plugins/engine_table.h"
#include "plugins/manifest.h"

namespace aioss::plugins {

inline constexpr std::size_t kEnginesMax = 64;  // of a directory; more are not looked at

// Whether a file of this hash, with this signature, may be run here: allow-list and publisher.
// `file_name`: "NAME.so"; or "": what it is named is not known yet, for none of it has run, and the
// manifest has hash and signature alone. Then those have to be good under some name.
using Trust = std::function<Status(const Manifest& manifest, const std::string& file_name)>;

struct InstalledEngines {
  std::vector<EngineImage> engines;  // in the order of their names
  std::vector<LeftOut> left_out;
};

std::string plugin_path(const std::string& directory, std::string_view name);
std::string manifest_path(const std::string& directory, std::string_view name);

// A directory that is not there has none. Each file is read and hashed as a whole.
InstalledEngines read_engines(os::FileSystem& fs, const std::string& directory, const Trust& trust);
// One of them. kNotFound; kForbidden: not trusted; kCorrupt: the file is not the manifest's;
// kUnsupported: of another ABI.
Result<EngineImage> read_engine(os::FileSystem& fs, const std::string& directory,
                                const std::string& name, const Trust& trust);

// Copies the bytes behind the descriptor, which are the manifest's, and writes the manifest last:
// an engine is there whole or not at all. kConflict if there is one of this name, unless it may be
// replaced: workers that have that one go on with it.
Status add_engine(os::FileSystem& fs, const std::string& directory, const Manifest& manifest,
                  const std::string& from, bool may_replace);
Status remove_engine(os::FileSystem& fs, const std::string& directory, const std::string& name);

}  // namespace aioss::plugins
