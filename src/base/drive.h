// Who carries out what waits in a part that has a thread of its own: that thread, or, where one
// thread does everything in an order that it chooses (tests/sim), whoever owns the part, with its
// run_pending().
#pragma once

#include <cstdint>

namespace aioss {

enum class Drive : std::uint8_t { kThread, kByHand };

}  // namespace aioss
