// What stands behind the opaque aioss_model* of the fake engine. Only this folder looks inside.
#pragma once

#include "aioss/engine.h"
#include "engines/fake/script.h"

namespace aioss::engines::fake {

struct FakeModel {
  Script script;
  bool dry = false;  // opened for a dry run
  std::uint64_t sessions_created = 0;
};

inline FakeModel* unwrap(aioss_model* model) {
  return reinterpret_cast<FakeModel*>(model);
}
inline const FakeModel* unwrap(const aioss_model* model) {
  return reinterpret_cast<const FakeModel*>(model);
}

}  // namespace aioss::engines::fake
