// A plugin's file that is to be installed. Blocking.
#pragma once

#include <string>

#include "base/result.h"
#include "cli/config.h"
#include "cli/services.h"
#include "plugins/manifest.h"

namespace aioss::cli {

// What its manifest will say. Whom it is from is looked at first: hash and FILE.note need none of
// its code. Only then a confined child asks it who it is. kForbidden: the settings do not trust it;
// kConflict: it has the name of an engine that aioss has in itself.
Result<plugins::Manifest> manifest_of_plugin(const Services& services, const Config& config,
                                             const std::string& path);

}  // namespace aioss::cli
