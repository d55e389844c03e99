// What stands behind the opaque aioss_model* of the fake engine. Only this folder looks inside.
#pragma once

#include <cstdint>
#include <vector>

#include "aioss/engine.h"
#include "engines/fake/script.h"

namespace aioss::engines::fake {

struct FakeModel {
  Script script;
  bool dry = false;                    // opened for a dry run
  std::vector<std::uint32_t> devices;  // other than the CPU
  std::uint32_t gpu_layers = 0;        // that are there
  std::uint32_t cpu_experts = 0;       // of so many of these the experts are not
  std::uint64_t sessions_created = 0;
};

struct FakeSession {
  FakeModel* model = nullptr;
  aioss_session_options options = {};
  std::vector<Sequence> sequences;
  std::vector<std::vector<float>> rows;
  std::size_t row_count = 0;
  aioss_counters counters = {};
  bool failed = false;
  bool had_adapters = false;
};

struct FakeAdapter {
  const FakeModel* model = nullptr;  // outlives it
  AdapterScript script;
};

inline FakeAdapter* unwrap(aioss_adapter* adapter) {
  return reinterpret_cast<FakeAdapter*>(adapter);
}
inline const FakeAdapter* unwrap(const aioss_adapter* adapter) {
  return reinterpret_cast<const FakeAdapter*>(adapter);
}
inline FakeModel* unwrap(aioss_model* model) {
  return reinterpret_cast<FakeModel*>(model);
}
inline const FakeModel* unwrap(const aioss_model* model) {
  return reinterpret_cast<const FakeModel*>(model);
}

}  // namespace aioss::engines::fake
