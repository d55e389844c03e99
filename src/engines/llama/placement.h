// Which of ggml's devices a model is put on, from what a host asked for.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "aioss/engine.h"
#include "llama.h"

namespace aioss::engines::llama {

class Placement final {
 public:
  // Checks the devices of `options`, a copy made by read_struct. AIOSS_E_UNSUPPORTED for a profile
  // other than fast on a device that is not the CPU: its products take other paths for other
  // numbers of columns.
  static aioss_status read(const aioss_model_options& options, Placement& out, aioss_error* error);

  // `params` borrows: use it while this lives.
  void apply(llama_model_params& params);
  // Of devices other than the CPU, as the ABI numbers them; empty: the CPU alone.
  const std::vector<std::uint32_t>& indices() const { return indices_; }

 private:
  std::vector<std::uint32_t> indices_;
  std::vector<ggml_backend_dev_t> devices_;  // ends with null
  std::vector<float> splits_;                // as many as llama.cpp reads; empty: its choice
  std::int32_t gpu_layers_ = 0;
  std::string experts_;  // a pattern for the names of tensors that stay with the CPU; empty: none
  std::vector<llama_model_tensor_buft_override> overrides_;  // ends with null
};

// aioss_device_kind of one of ggml's.
std::uint32_t kind_of(ggml_backend_dev_t device);

}  // namespace aioss::engines::llama
