// Who asks. Resolved once per request, at the door, and passed to every layer and every record.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "ipc/limits.h"

namespace aioss::runtime {

enum class Role { kUser, kOperator, kAuditor };

// What a tenant's requests may be, as the key file says. 0: no bound of its own.
struct TenantLimits {
  std::uint32_t weight = ipc::kWeightDefault;  // of its turns, 1 … ipc::kWeightMax
  std::uint32_t requests_max = 0;              // in the gateway at once
  std::uint32_t prompt_tokens_max = 0;
  std::uint64_t prompt_bytes_max = 0;
  bool operator==(const TenantLimits&) const = default;
};

struct Principal {
  std::string tenant = "local";
  std::string user = "local";
  Role role = Role::kUser;
  std::string source;   // "local", "key:<id>", "unix:uid=1000"
  std::string address;  // of the peer
  // What records say instead of the name (runtime/records/salts.h); "": not known yet.
  std::string subject = {};
  TenantLimits limits = {};
};

// Of Principal::source: a signal to the process, or the watch over the models directory, neither of
// which a tenant's budget bounds.
inline constexpr std::string_view kSignalSource = "signal", kWatchSource = "watch";

}  // namespace aioss::runtime
