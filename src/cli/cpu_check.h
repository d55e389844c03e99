// Whether this machine can run the engine that the binary carries, asked before every command that
// computes (cli.cc). Blocks on /proc.
#pragma once

#include "base/result.h"
#include "cli/services.h"

namespace aioss::cli {

// kUnsupported, in one sentence, if an instruction set is missing.
Status check_cpu(const Services& services);

}  // namespace aioss::cli
