// What whoever asks a gateway that is on its way out is told.
#pragma once

#include "base/error.h"

namespace aioss::runtime {

inline Error gateway_stopping() {
  return {Code::kShuttingDown, "the gateway is stopping"};
}

}  // namespace aioss::runtime
