// What a process that drives GPUs is started with besides: the sandbox that drivers can live in,
// and those variables of the environment that choose devices. Pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "os/process.h"

namespace aioss::runtime {

// Whether a worker of this engine with layers on `device` ("cpu", or names of devices) needs it. An
// engine for GPUs begins its drivers even where the CPU computes.
bool drives_gpus(std::string_view engine, std::string_view device);

// "NAME=VALUE": which devices there are for it.
std::vector<std::string> gpu_environment();

void start_for_gpus(os::SpawnOptions& spawn);

}  // namespace aioss::runtime
