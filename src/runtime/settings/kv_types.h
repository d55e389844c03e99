// How keys and values may be kept, by name: what a plan and a model's own settings may ask for. The
// engine has the last word (engine/engine.h).
#pragma once

#include <array>
#include <string_view>

namespace aioss::runtime {

inline constexpr auto kKvTypes =
    std::to_array<std::string_view>({"f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"});

}  // namespace aioss::runtime
