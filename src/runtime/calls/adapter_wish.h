// An adapter that a request asks for, by its name in the catalogue, and how much of it; and that
// adapter once it is loaded. Values.
#pragma once

#include <cstdint>
#include <string>

#include "ipc/messages.h"

namespace aioss::runtime {

struct AdapterWish {
  std::string name;
  float scale = 1.0F;  // within ipc::kAdapterScaleMax either way
  bool operator==(const AdapterWish&) const = default;
};

// One that is loaded in the worker of such a request.
struct LoadedAdapter {
  ipc::AdapterUse use;
  std::string name;  // in the catalogue
  std::uint64_t load_record = 0;
};

}  // namespace aioss::runtime
