// What one model takes on one device, in bytes, by kind: what a dry run says before anything is
// allocated, what a worker reports once it runs, and what the pool's books hold. Values.
#pragma once

#include <cstdint>

namespace aioss::memory {

struct Needs {
  std::uint64_t weights = 0;     // as resident after load: mapped, and repacked ones
  std::uint64_t kv = 0;          // of all streams
  std::uint64_t compute = 0;     // buffers of graphs
  std::uint64_t output = 0;      // rows of logits
  std::uint64_t vocabulary = 0;  // tables of tokens on the heap
  std::uint64_t prefixes = 0;    // at most: states of prompts that are kept
  std::uint64_t spill = 0;       // at most: sequences that wait for their clients
  std::uint64_t overhead = 0;    // of the engine and the process, calibrated
  std::uint64_t adapters = 0;    // that were planned with it

  // What is there as soon as the model is; prefixes and spilled sequences come by and by.
  std::uint64_t committed() const {
    return weights + kv + compute + output + vocabulary + overhead + adapters;
  }
  bool operator==(const Needs&) const = default;
};

}  // namespace aioss::memory
