#include "engines/llama/placement.h"

#include <algorithm>
#include <string>

#include "engine/abi.h"

namespace aioss::engines::llama {

using engine::fail;

constexpr std::uint32_t kLayersMax = 1024;  // beyond any model's; llama.cpp itself stops at 512

std::uint32_t kind_of(ggml_backend_dev_t device) {
  switch (ggml_backend_dev_type(device)) {
    case GGML_BACKEND_DEVICE_TYPE_GPU:
      return AIOSS_DEVICE_GPU;
    case GGML_BACKEND_DEVICE_TYPE_IGPU:
      return AIOSS_DEVICE_IGPU;
    case GGML_BACKEND_DEVICE_TYPE_ACCEL:
      return AIOSS_DEVICE_ACCEL;
    default:
      return AIOSS_DEVICE_CPU;
  }
}

namespace {

// A regular expression for the experts of the first `layers` layers, as llama.cpp's own --n-cpu-moe
// has one for each of them.
std::string experts_of(std::uint32_t layers) {
  if (layers == 0) return {};
  std::string numbers;
  for (std::uint32_t i = 0; i < std::min(layers, kLayersMax); ++i) {
    numbers += (i > 0 ? "|" : "") + std::to_string(i);
  }
  return "^blk\\.(" + numbers + ")\\.ffn_(up|down|gate|gate_up)_(ch|)exps";
}

}  // namespace

aioss_status Placement::read(const aioss_model_options& options, Placement& out,
                             aioss_error* error) {
  out = Placement();
  // Nothing is asked of drivers for a model of the CPU's.
  if (options.device_count > 0) {
    const auto known = static_cast<std::uint32_t>(ggml_backend_dev_count());
    if (const auto s = engine::check_placement(options, known, error); s != AIOSS_OK) return s;
  }
  for (std::uint32_t i = 0; i < options.device_count; ++i) {
    ggml_backend_dev_t device = ggml_backend_dev_get(options.devices[i]);
    if (kind_of(device) == AIOSS_DEVICE_CPU) {
      if (options.device_count == 1) break;
      return fail(error, AIOSS_E_INVALID,
                  "the CPU takes the layers that gpu_layers leaves; it is not among the devices");
    }
    out.indices_.push_back(options.devices[i]);
    out.devices_.push_back(device);
    if (options.splits != nullptr) out.splits_.push_back(options.splits[i]);
  }
  if (!out.indices_.empty() && options.profile != AIOSS_PROFILE_FAST) {
    return fail(error, AIOSS_E_UNSUPPORTED,
                "only the profile fast can use a GPU: there a sequence's bits depend on its "
                "neighbours; take device cpu, or the profile fast");
  }
  out.devices_.push_back(nullptr);
  if (!out.splits_.empty()) out.splits_.resize(std::max(llama_max_devices(), out.splits_.size()));
  out.gpu_layers_ = out.indices_.empty() ? 0 : options.gpu_layers;
  if (!out.indices_.empty()) out.experts_ = experts_of(options.cpu_expert_layers);
  return AIOSS_OK;
}

void Placement::apply(llama_model_params& params) {
  params.devices = devices_.data();
  params.n_gpu_layers = gpu_layers_;
  params.split_mode = indices_.size() > 1 ? LLAMA_SPLIT_MODE_LAYER : LLAMA_SPLIT_MODE_NONE;
  params.main_gpu = 0;  // of the list
  params.tensor_split = splits_.empty() ? nullptr : splits_.data();
  if (experts_.empty()) return;
  overrides_ = {{experts_.c_str(), ggml_backend_cpu_buffer_type()}, {nullptr, nullptr}};
  params.tensor_buft_overrides = overrides_.data();
}

}  // namespace aioss::engines::llama
