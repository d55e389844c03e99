// A worker that breaks one rule of the conversation and keeps all others, to see that the gateway
// notices. Which rule is said by its model file: one line, "misbehave RULE". Single-threaded.
#pragma once

#include <string>

namespace aioss::runtime::testing {

int run_bad_worker(int socket, const std::string& rule);

}  // namespace aioss::runtime::testing
