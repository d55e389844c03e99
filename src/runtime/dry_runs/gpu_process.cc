#include "runtime/dry_runs/gpu_process.h"

#include "os/environment.h"
#include "plugins/engine_table.h"

namespace aioss::runtime {

bool drives_gpus(std::string_view engine, std::string_view device) {
  return device != "cpu" || plugins::is_for_gpus(engine);
}

std::vector<std::string> gpu_environment() {
  // Nothing is kept of what drivers compile: a worker writes no file.
  std::vector<std::string> out{"MESA_SHADER_CACHE_DISABLE=true", "CUDA_CACHE_DISABLE=1"};
  for (std::string& variable : os::environment_subset(
           {"CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES",
            "VK_DRIVER_FILES", "VK_ICD_FILENAMES", "GGML_VK_VISIBLE_DEVICES",
            "AIOSS_FAKE_GPUS"})) {  // of the engine for tests
    out.push_back(std::move(variable));
  }
  return out;
}

void start_for_gpus(os::SpawnOptions& spawn) {
  spawn.arguments.emplace_back("--sandbox");
  spawn.arguments.emplace_back("gpu");
  for (std::string& variable : gpu_environment()) spawn.environment.push_back(std::move(variable));
}

}  // namespace aioss::runtime
