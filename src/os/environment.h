// What surrounds the process: environment variables (the only getenv), directories of the user,
// names of the machine and of the program. Reading is thread-safe because nothing in aioss changes
// the environment after start.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace aioss::os {

// Nothing if it is unset; "" if it is set to nothing.
std::optional<std::string> environment(const std::string& name);
// "NAME=value" for each of `names` that is set: what a child is given.
std::vector<std::string> environment_subset(const std::vector<std::string>& names);

// Directories of the XDG base directory specification with "/aioss" appended; not created.
// kUsage if neither the XDG variable nor HOME is set to an absolute path.
Result<std::string> state_directory();   // ledgers, caches of hashes
Result<std::string> data_directory();    // models
Result<std::string> config_directory();  // aioss.toml
Result<std::string> cache_directory();
Result<std::string> home_directory();

std::string hostname();  // "localhost" if the kernel does not say
// Changes at every boot. Random bytes of the kernel, printed by it as a UUID.
Result<std::array<std::uint8_t, 16>> boot_id();
Result<std::string> executable_path();  // of this program's file
int process_id();
std::uint32_t user_id();
std::string user_name();  // of the effective user; its number if it has no name

}  // namespace aioss::os
