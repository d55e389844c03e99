// The settings of how long models stay, and of waiting for them, for the gateway. Pure.
#pragma once

#include "cli/config.h"
#include "runtime/gateway.h"

namespace aioss::cli {

// kUsage, naming where the value came from, if one of them cannot be read.
Status add_residence(const Config& config, runtime::GatewayOptions& out);

}  // namespace aioss::cli
