// What stands behind the opaque aioss_adapter* of this engine: a LoRA adapter in a GGUF file
// (general.type "adapter", adapter.type "lora"), loaded beside the weights that it changes. Only
// this folder looks inside.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "aioss/engine.h"
#include "engines/llama/model.h"

namespace aioss::engines::llama {

struct AdapterDeleter {
  void operator()(llama_adapter_lora* adapter) const { llama_adapter_lora_free(adapter); }
};
using AdapterPointer = std::unique_ptr<llama_adapter_lora, AdapterDeleter>;

struct LlamaAdapter {
  LlamaModel* model = nullptr;  // outlives it
  AdapterPointer adapter;
  std::uint32_t rank = 0;
  std::uint32_t pair_count = 0;
  std::uint64_t bytes = 0;
  std::uint64_t compute_bytes_per_token = 0;
  std::string architecture;
  std::string name;
};

inline LlamaAdapter* adapter_of(aioss_adapter* adapter) {
  return reinterpret_cast<LlamaAdapter*>(adapter);
}
inline const LlamaAdapter* adapter_of(const aioss_adapter* adapter) {
  return reinterpret_cast<const LlamaAdapter*>(adapter);
}

// Statuses as in aioss/engine.h. What llama.cpp would assert on, here or in the graphs that it
// builds later, is refused first. `options` is a copy made by read_struct.
aioss_status open_adapter(LlamaModel& model, const aioss_adapter_options& options,
                          std::unique_ptr<LlamaAdapter>& out, aioss_error* error);

}  // namespace aioss::engines::llama
