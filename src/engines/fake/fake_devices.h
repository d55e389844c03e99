// The devices of the fake engine: one of the kind CPU, and GPUs as AIOSS_FAKE_GPUS has them, a list
// of their bytes: "1073741824,536870912" are fake:0 and fake:1.
#pragma once

#include <cstdint>
#include <vector>

#include "aioss/engine.h"
#include "engines/fake/model.h"

namespace aioss::engines::fake {

std::uint32_t device_count();
aioss_status device(std::uint32_t index, aioss_device* out, aioss_error* error);

// The GPUs of `options` and how many layers go there. fail_device of the script: AIOSS_E_FAILED.
aioss_status place(const aioss_model_options& options, FakeModel& model, aioss_error* error);
// Moves what GPUs have of weights and KV from the host's part of the plan to theirs.
void plan_devices(const FakeModel& model, aioss_plan& plan);

}  // namespace aioss::engines::fake
