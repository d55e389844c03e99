// Pages of memory that is this process's own: private and anonymous, as malloc gives it. Not for
// mapped files, whose pages would read as the file does. Thread-safe.
#pragma once

#include <cstdint>
#include <span>

namespace aioss::os {

// Makes all of it zero. Whole pages are not written but given back: the system hands out zeroed
// ones when they are next touched. So what is never touched costs neither time nor memory, and
// memory that is fresh costs nothing at all. Where the system will not have that, it is written.
void zero_lazily(std::span<std::uint8_t> bytes);

}  // namespace aioss::os
