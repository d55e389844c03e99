// Engines of the test worker that are the fake one under other names: one that computes the same,
// one that computes something else, and one that crashes.
#pragma once

#include <string>
#include <vector>

#include "aioss/engine.h"

namespace aioss::runtime::testing {

inline constexpr const char* kSameEngine = "fake-same";
inline constexpr const char* kOddEngine = "fake-odd";
// After its 60th decode call: behind its canary, and in the middle of a longer answer.
inline constexpr const char* kCrashingEngine = "fake-crashing";

struct OtherEngine {
  std::string name;
  const aioss_engine* engine = nullptr;
};
std::vector<OtherEngine> other_engines();

}  // namespace aioss::runtime::testing
