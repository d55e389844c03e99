// Engines that this binary carries as the bytes of their plugins.
#pragma once

#include <vector>

#include "cli/services.h"

namespace aioss::app {

std::vector<cli::EmbeddedEngine> embedded_engines();

}  // namespace aioss::app
