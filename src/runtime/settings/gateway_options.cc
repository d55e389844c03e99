#include "runtime/settings/gateway_options.h"

namespace aioss::runtime {

std::string_view name(Privacy privacy) {
  return privacy == Privacy::kSealed ? "sealed" : "commit";
}

std::optional<Privacy> privacy_from_name(std::string_view name) {
  for (const Privacy privacy : {Privacy::kCommit, Privacy::kSealed}) {
    if (runtime::name(privacy) == name) return privacy;
  }
  return std::nullopt;
}

}  // namespace aioss::runtime
