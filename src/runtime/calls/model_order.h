// What an operator can order of a model while the gateway runs. A value.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "runtime/calls/principal.h"

namespace aioss::runtime {

struct ModelOrder {
  enum class What : std::uint8_t {
    kLoad,    // at once, also if it failed a moment ago
    kUnload,  // once it is idle; with `force` now: its streams end with kShuttingDown
    kPin,     // it is never evicted and never expires, once it is loaded
    kUnpin,
  };
  What what{};
  std::string model;
  bool force = false;  // kUnload; also takes its pin away
  Principal by;
};

}  // namespace aioss::runtime
