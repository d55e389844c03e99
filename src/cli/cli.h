// The command line, whole: parse, dispatch, exit code.
#pragma once

#include <string>
#include <vector>

#include "cli/services.h"

namespace aioss::cli {

// `arguments` without the program's name. Returns the exit code.
int run(const Services& services, const std::vector<std::string>& arguments);

}  // namespace aioss::cli
