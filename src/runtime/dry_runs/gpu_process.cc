#include "runtime/dry_runs/gpu_process.h"

#include "os/environment.h"
#include "plugins/engine_table.h"

namespace aioss::runtime {

bool drives_gpus(std::string_view engine, std::string_view device) {
  return device != "cpu" || plugins::is_for_gpus(engine);
}

void start_for_gpus(os::SpawnOptions& spawn) {
  spawn.arguments.emplace_back("--sandbox");
  spawn.arguments.emplace_back("gpu");
  // Nothing is kept of what drivers compile: a worker writes no file.
  spawn.environment.emplace_back("MESA_SHADER_CACHE_DISABLE=true");
  spawn.environment.emplace_back("CUDA_CACHE_DISABLE=1");
  for (std::string& variable : os::environment_subset(
           {"CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES",
            "VK_DRIVER_FILES", "VK_ICD_FILENAMES", "GGML_VK_VISIBLE_DEVICES",
            "AIOSS_FAKE_GPUS"})) {  // of the engine for tests
    spawn.environment.push_back(std::move(variable));
  }
}

}  // namespace aioss::runtime
