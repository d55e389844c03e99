// An adapter that a request asks for, by its name in the catalogue, and how much of it. A value.
#pragma once

#include <string>

namespace aioss::runtime {

struct AdapterWish {
  std::string name;
  float scale = 1.0F;  // within ipc::kAdapterScaleMax either way
  bool operator==(const AdapterWish&) const = default;
};

}  // namespace aioss::runtime
