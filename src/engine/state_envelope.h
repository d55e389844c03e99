// A header ahead of the bytes in which a library saves a sequence, so that a state of another
// engine, model, build or geometry is refused before the library parses it, and a damaged one too.
// It finds damage, not malice: whoever stores a state authenticates it. Native byte order: a state
// never leaves the machine. Free functions; thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "aioss/engine.h"

namespace aioss::engine {

inline constexpr std::size_t kStateHeaderBytes = 40;

// What a state has to come from to be loaded.
struct StateOrigin {
  std::uint64_t magic = 0;        // the engine
  std::uint64_t fingerprint = 0;  // model, build, geometry
};

struct OpenedState {
  std::uint64_t length = 0;  // tokens, at most the `cells` of open_state
  std::span<const std::uint8_t> payload;
};

// A fast hash, of words in the machine's order; `seed` is the hash of what came before.
std::uint64_t state_hash(std::span<const std::uint8_t> bytes, std::uint64_t seed);
std::uint64_t state_hash(std::string_view text, std::uint64_t seed);
std::uint64_t state_hash(std::span<const std::uint64_t> numbers, std::uint64_t seed);

// Writes the header at `data`, behind which `payload_bytes` of payload have been written.
void seal_state(std::uint8_t* data, const StateOrigin& origin, std::uint64_t length,
                std::size_t payload_bytes);

// AIOSS_E_INVALID, with the reason, for anything but whole bytes that seal_state has sealed for
// this origin. `out.payload` points into `data`.
aioss_status open_state(const std::uint8_t* data, std::size_t size, const StateOrigin& origin,
                        std::uint64_t cells, OpenedState& out, aioss_error* error);

}  // namespace aioss::engine
