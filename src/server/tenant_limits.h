// What the key file says of a tenant as a whole, one tenant a line:
//
//   [tenant.ward-3] weight=200 requests_max=50 prompt_tokens_max=8000 prompt_bytes_max=65536
//
// Each name at most once, in any order; what is left out keeps its default. No key line begins like
// that: an id has no bracket. Pure.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "runtime/calls/principal.h"

namespace aioss::server {

struct TenantLine {
  std::string tenant;
  runtime::TenantLimits limits;
};

bool is_tenant_line(std::string_view line);
// kUsage, saying what is wrong with it.
Result<TenantLine> parse_tenant_line(std::string_view line);

}  // namespace aioss::server
