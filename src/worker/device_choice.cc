#include "worker/device_choice.h"

#include "engine/device_names.h"
#include "ipc/limits.h"

namespace aioss::worker {

Result<DeviceChoice> DeviceChoice::make(const aioss_engine& engine, os::SandboxFor sandbox,
                                        const std::string& names, const ipc::Layers& layers) {
  DeviceChoice out;
  out.layers_ = layers;
  if (names == "cpu") {
    // A library for GPUs counts them the first time that it is used: now, while it may look.
    if (sandbox == os::SandboxFor::kGpu) (void)engine.device_count();
    return out;
  }
  AIOSS_TRY(const auto known, engine::named_devices(engine, engine::DeviceDetail::kNames));
  AIOSS_TRY(const auto found, engine::find_devices(known, names));
  for (const engine::NamedDevice& device : found) {
    const auto begun = engine::device(engine, device.index);  // its driver begins
    if (!begun) {
      return Error{Code::kEngineFailed, "device " + device.name + ": " + begun.error().message,
                   std::string(ipc::kDeviceField)};
    }
    out.indices_.push_back(device.index);
    out.names_.push_back(device.name);
  }
  return out;
}

std::string DeviceChoice::text() const {
  std::string out;
  for (const std::string& name : names_) out += (out.empty() ? "" : ",") + name;
  return out.empty() ? "cpu" : out;
}

void DeviceChoice::apply(aioss_model_options& options) const {
  options.devices = indices_.empty() ? nullptr : indices_.data();
  options.device_count = static_cast<std::uint32_t>(indices_.size());
  options.gpu_layers = layers_.on_devices ? static_cast<std::int32_t>(*layers_.on_devices) : -1;
  options.cpu_expert_layers = layers_.experts_on_cpu;
}

}  // namespace aioss::worker
