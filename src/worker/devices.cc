// `aioss worker --devices`: which devices engines find here, asked in a process of its own, because
// drivers crash, hang and leave threads behind. It reads no model and is told nothing.
#include <cstdlib>
#include <exception>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/device_names.h"
#include "ipc/channel.h"
#include "ipc/devices.h"
#include "os/limits.h"
#include "os/sandbox.h"
#include "worker/plugin_choice.h"
#include "worker/worker.h"

namespace aioss::worker {
namespace {

constexpr std::uint64_t kDevicesCpuSecondsMax = 30;

// Integrated ones, and software that plays one, have the host's memory.
bool shares_memory(const engine::NamedDevice& device) {
  if (device.is_cpu() || device.facts.kind == AIOSS_DEVICE_IGPU) return true;
  return std::string_view(device.facts.description).find("llvmpipe") != std::string_view::npos;
}

Status add_devices(const EngineChoice& choice, ipc::DevicesReport& report) {
  AIOSS_TRY(const auto devices, engine::named_devices(*choice.engine));
  for (const engine::NamedDevice& device : devices) {
    if (report.devices.size() == ipc::kDevicesMax) break;
    report.devices.push_back({choice.name, device.name, device.facts.backend,
                              device.facts.description, device.is_cpu(), shares_memory(device),
                              device.facts.bytes_total, device.facts.bytes_free});
  }
  return ok();
}

Bytes devices_failure(const Error& error) {
  ipc::DevicesReport report;
  report.error = error;
  return ipc::encode(report);
}

Result<ipc::DevicesReport> ask(const WorkerOptions& options) {
  AIOSS_CHECK(os::limit_cpu_time(kDevicesCpuSecondsMax));
  AIOSS_CHECK(os::enter_stage_one(options.device, options.engine_fd));
  const auto framed = [](const Error& error) { return ipc::framed(devices_failure(error)); };
  AIOSS_TRY(const std::vector<EngineChoice> engines,
            engines_of(options, options.engine_name, framed));
  ipc::DevicesReport report;
  for (const EngineChoice& choice : engines) AIOSS_CHECK(add_devices(choice, report));
  return report;
}

}  // namespace

int run_devices(const WorkerOptions& options) {
  ipc::Channel channel{os::Fd(options.socket_fd)};
  Result<ipc::DevicesReport> report = Error{Code::kInternal, "no device was asked for"};
  try {
    report = ask(options);
  } catch (const std::exception& e) {
    report = Error{Code::kInternal, e.what()};
  }
  const bool sent(channel.send(report ? ipc::encode(*report) : devices_failure(report.error())));
  // A driver's threads and handlers are not waited for.
  std::_Exit(static_cast<int>(report && sent ? WorkerExit::kOk : WorkerExit::kLoadFailed));
}

}  // namespace aioss::worker
