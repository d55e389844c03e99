#include "engines/fake/fake_devices.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "base/strings.h"
#include "engine/abi.h"
#include "os/environment.h"

namespace aioss::engines::fake {
namespace {

using engine::fail;
using engine::write_struct;

constexpr std::size_t kGpusMax = 8;

std::vector<std::uint64_t> gpu_bytes() {
  std::vector<std::uint64_t> out;
  const auto text = os::environment("AIOSS_FAKE_GPUS");
  if (!text) return out;
  for (const std::string_view part : split(*text, ',')) {
    const auto bytes = parse_u64(part);
    if (bytes && out.size() < kGpusMax) out.push_back(*bytes);
  }
  return out;
}

}  // namespace

std::uint32_t device_count() {
  return static_cast<std::uint32_t>(1 + gpu_bytes().size());
}

aioss_status device(std::uint32_t index, aioss_device* out, aioss_error* error) {
  const std::vector<std::uint64_t> gpus = gpu_bytes();
  if (index > gpus.size()) {
    return fail(error, AIOSS_E_INVALID, "there is no device " + std::to_string(index));
  }
  aioss_device value = {};
  value.kind = index == 0 ? AIOSS_DEVICE_CPU : AIOSS_DEVICE_GPU;
  const std::string name = "FAKE" + std::to_string(index);
  std::strncpy(value.name, name.c_str(), sizeof value.name - 1);
  std::strncpy(value.backend, "fake", sizeof value.backend - 1);
  std::strncpy(value.description, "scripted engine", sizeof value.description - 1);
  value.bytes_total = index == 0 ? std::uint64_t{1} << 40 : gpus[index - 1];
  value.bytes_free = value.bytes_total;
  if (!write_struct(out, value)) return fail(error, AIOSS_E_INVALID, "no room for a device");
  return AIOSS_OK;
}

aioss_status place(const aioss_model_options& options, FakeModel& model, aioss_error* error) {
  if (const auto s = engine::check_placement(options, device_count(), error); s != AIOSS_OK) {
    return s;
  }
  for (std::uint32_t i = 0; i < options.device_count; ++i) {
    if (options.devices[i] != 0) model.devices.push_back(options.devices[i]);
  }
  const std::uint32_t layers = model.script.layers;
  model.gpu_layers = options.gpu_layers < 0
                         ? layers
                         : std::min(layers, static_cast<std::uint32_t>(options.gpu_layers));
  if (model.devices.empty()) model.gpu_layers = 0;
  const std::uint32_t stay = layers - model.gpu_layers;  // the first ones, wholly
  model.cpu_experts = std::min(options.cpu_expert_layers, layers);
  model.cpu_experts -= std::min(model.cpu_experts, stay);
  if (model.gpu_layers > 0 && model.script.fail_device && !model.dry) {
    return fail(error, AIOSS_E_FAILED, "the script says: the device is lost");
  }
  if (model.gpu_layers > 0 && model.script.fail_placing) {
    return fail(error, AIOSS_E_FAILED, "the script says: it cannot be there");
  }
  return AIOSS_OK;
}

void plan_devices(const FakeModel& model, aioss_plan& plan) {
  if (model.devices.empty()) return;
  const std::uint64_t layer = plan.weight_bytes / model.script.layers;
  const std::uint64_t experts = layer * model.script.experts_percent / 100;
  const std::uint64_t weights = layer * model.gpu_layers - experts * model.cpu_experts;
  const std::uint64_t kv = plan.kv_bytes / model.script.layers * model.gpu_layers;
  plan.weight_bytes -= weights;
  plan.kv_bytes -= kv;
  for (const std::uint32_t device : model.devices) {
    aioss_plan_device& out = plan.devices[plan.device_count++];
    out.device = device;
    out.weight_bytes = weights / model.devices.size();
    out.kv_bytes = kv / model.devices.size();
    out.compute_bytes = plan.compute_bytes;
  }
}

}  // namespace aioss::engines::fake
