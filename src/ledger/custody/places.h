// What the files that custody keeps have in common.
#pragma once

#include <string_view>

namespace aioss::ledger {

// For the owner alone: erased is only what nobody else can have read.
inline constexpr unsigned kFolderPermissions = 0700;
inline constexpr unsigned kFilePermissions = 0600;

// Of a file that is being written; it gets its name once it is whole.
inline constexpr std::string_view kTemporarySuffix = ".tmp";

}  // namespace aioss::ledger
