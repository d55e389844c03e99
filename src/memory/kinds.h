// What memory is for. A name for each, as pages and records show it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "memory/needs.h"

namespace aioss::memory {

enum class Kind : std::uint8_t {
  kWeights,
  kKv,
  kCompute,
  kOutput,
  kVocabulary,
  kPrefixes,  // states of prompts that are kept
  kSpilled,   // sequences that wait for their clients
  kAdapters,  // that are loaded, and one that is about to be
  kOverhead,
};
inline constexpr std::size_t kKindCount = static_cast<std::size_t>(Kind::kOverhead) + 1;
inline constexpr std::array<Kind, kKindCount> kKinds{
    Kind::kWeights,  Kind::kKv,      Kind::kCompute,  Kind::kOutput,  Kind::kVocabulary,
    Kind::kPrefixes, Kind::kSpilled, Kind::kAdapters, Kind::kOverhead};

constexpr std::string_view name(Kind kind) {
  constexpr std::array<std::string_view, kKindCount> kNames{"weights", "kv",         "compute",
                                                            "output",  "vocabulary", "prefixes",
                                                            "spilled", "adapters",   "overhead"};
  return kNames[static_cast<std::size_t>(kind)];
}

// Bytes of each kind. A value.
struct Amounts {
  std::array<std::uint64_t, kKindCount> bytes{};
  std::uint64_t& operator[](Kind kind) { return bytes[static_cast<std::size_t>(kind)]; }
  std::uint64_t operator[](Kind kind) const { return bytes[static_cast<std::size_t>(kind)]; }
  // The largest number there is, if it is more than that.
  std::uint64_t total() const;
  bool operator==(const Amounts&) const = default;
};

// What is there as soon as the model is: all of it but prefixes and spilled sequences.
Amounts committed(const Needs& needs);

// What a parked model has given back, and needs again to compute: all but weights, tables of tokens
// and what the process takes.
constexpr bool is_of_session(Kind kind) {
  return kind == Kind::kKv || kind == Kind::kCompute || kind == Kind::kOutput;
}
Amounts of_session(const Needs& needs);

}  // namespace aioss::memory
