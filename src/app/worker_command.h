// `aioss worker`, hidden: what the gateway starts this binary as. Nothing else of the product is
// set up in that process.
#pragma once

#include <string>
#include <vector>

namespace aioss::app {

// The descriptors that a child of `aioss inspect` has: the model's file, and where its JSON goes.
// `aioss worker --inspect` takes no others.
int worker_command(const std::vector<std::string>& arguments);  // without "worker"; the exit code

}  // namespace aioss::app
