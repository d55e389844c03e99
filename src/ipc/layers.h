// How a model is shared between its devices and the CPU.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>

namespace aioss::ipc {

struct Layers {
  // How many layers, the last ones, are on the devices; nothing: all.
  std::optional<std::uint32_t> on_devices = {};
  // Of so many layers, the first ones of the model, the experts stay with the CPU all the same.
  std::uint32_t experts_on_cpu = 0;
  auto operator<=>(const Layers&) const = default;
};

}  // namespace aioss::ipc
