// Reading from what has no offset: a pipe, a socket, a terminal. Thread-safe functions.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"

namespace aioss::os {

// What is there, up to into.size() bytes; waits for the first byte. 0: the end of the stream.
// kTimeout if nothing came in time (negative: waits for ever).
Result<std::size_t> read_some(int descriptor, std::span<std::uint8_t> into,
                              std::chrono::milliseconds timeout);

}  // namespace aioss::os
