// What the files that custody keeps have in common.
#pragma once

namespace aioss::ledger {

// For the owner alone: erased is only what nobody else can have read.
inline constexpr unsigned kFolderPermissions = 0700;
inline constexpr unsigned kFilePermissions = 0600;

}  // namespace aioss::ledger
