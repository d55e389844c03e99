// How fast this process can read main memory, measured. What one sequence is decoded at is at most
// that, divided by the bytes of the weights.
#pragma once

#include <chrono>
#include <cstdint>

#include "base/clock.h"
#include "base/result.h"

namespace aioss::os {

struct ReadBandwidth {
  double bytes_per_second = 0;     // the best of the rounds
  std::uint64_t buffer_bytes = 0;  // that were read in each
  unsigned threads = 0;
  unsigned rounds = 0;
};

// Reads a buffer several times the size of caches with so many threads, again and again for about
// `time`. kNoMemory if there is no room for the buffer.
Result<ReadBandwidth> measure_read_bandwidth(unsigned threads, std::chrono::milliseconds time,
                                             const Clock& clock);

}  // namespace aioss::os
