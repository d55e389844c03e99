// What stands behind the opaque aioss_model* of this engine. Only this folder looks inside.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "aioss/engine.h"
#include "llama.h"

namespace aioss::engines::llama {

struct ModelDeleter {
  void operator()(llama_model* model) const { llama_model_free(model); }
};
struct ContextDeleter {
  void operator()(llama_context* context) const { llama_free(context); }
};
using ModelPointer = std::unique_ptr<llama_model, ModelDeleter>;
using ContextPointer = std::unique_ptr<llama_context, ContextDeleter>;

class LlamaSession;

struct LlamaModel {
  ModelPointer model;
  std::vector<LlamaSession*> sessions;  // which an adapter's end is told
  aioss_profile profile = AIOSS_PROFILE_FAST;
  bool dry = false;                    // opened for a dry run: without weights
  std::vector<std::uint32_t> devices;  // other than the CPU, as the ABI numbers them
  std::uint64_t weight_bytes = 0;
  std::uint64_t vocabulary_bytes = 0;  // while dry: what opening it left on the heap
  std::string architecture;
  std::string description;
};

inline LlamaModel* model_of(aioss_model* model) {
  return reinterpret_cast<LlamaModel*>(model);
}
inline const LlamaModel* model_of(const aioss_model* model) {
  return reinterpret_cast<const LlamaModel*>(model);
}

// Loads the GGUF behind options.fds, the parts of a split one in their order; a dry run reads
// headers only and allocates no weights. `options` is a copy made by read_struct.
aioss_status load_model(const aioss_model_options& options, LlamaModel& out, aioss_error* error);

// The vocabulary, the chat template and other words of the head; no tensor.
aioss_status load_vocabulary(const std::vector<int>& fds, ModelPointer& out, aioss_error* error);

// engine::check_session_options, and this engine's own: the cells of all sequences, rounded up as
// llama.cpp does, are counted in 32 bits there.
aioss_status check_geometry(aioss_session_options& options, aioss_error* error);

// AIOSS_E_UNSUPPORTED, with the reason, if keys and values cannot be kept as `kv_type` says.
aioss_status check_kv_type(const llama_model& model, aioss_profile profile, std::uint32_t kv_type,
                           aioss_error* error);

// AIOSS_E_UNSUPPORTED, with the reason, if options.flash_attention asks for what cannot be; and
// quantized values need it.
aioss_status check_flash_attention(aioss_profile profile, const aioss_session_options& options,
                                   aioss_error* error);

// Prefill chunks end on multiples of it outside the profile fast. The tiles of llama.cpp's flash
// attention have as many queries and cells.
inline constexpr std::uint32_t kPrefillGridTokens = 64;

// What a session with these options, which have passed the check, computes attention with.
llama_flash_attn_type flash_attention_of(aioss_profile profile,
                                         const aioss_session_options& options);

// What both a session and its dry run ask llama.cpp for. `options` has passed the checks above.
llama_context_params context_params(const llama_model& model, aioss_profile profile,
                                    const aioss_session_options& options);

// plan.cc. `model` was opened for a dry run; `options` is a copy made by read_struct.
aioss_status plan_session(const LlamaModel& model, aioss_session_options options, aioss_plan& out,
                          aioss_error* error);
// What is on the heap of this process now, in bytes.
std::uint64_t heap_bytes();

// Bytes of weights as they are resident, repacked copies too. Creates the smallest possible
// context.
std::uint64_t resident_weight_bytes(llama_model& model);

std::string architecture_of(const llama_model& model);

std::string build_id();

}  // namespace aioss::engines::llama
