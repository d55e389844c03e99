// What stands behind the opaque aioss_model* of this engine. Only this folder looks inside.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "aioss/engine.h"
#include "llama.h"

namespace aioss::engines::ik {

struct ModelDeleter {
  void operator()(llama_model* model) const { llama_free_model(model); }
};
struct ContextDeleter {
  void operator()(llama_context* context) const { llama_free(context); }
};
using ModelPointer = std::unique_ptr<llama_model, ModelDeleter>;
using ContextPointer = std::unique_ptr<llama_context, ContextDeleter>;

struct IkModel {
  ModelPointer model;
  bool dry = false;                    // opened for a dry run: without weights
  std::uint64_t vocabulary_bytes = 0;  // what opening it left on the heap
  std::string architecture;
  std::string description;
};

inline IkModel* model_of(aioss_model* model) {
  return reinterpret_cast<IkModel*>(model);
}
inline const IkModel* model_of(const aioss_model* model) {
  return reinterpret_cast<const IkModel*>(model);
}

// Loads the GGUF behind options.fds, the parts of a split one in their order; a dry run reads
// headers only and allocates no weights. `options` is a copy made by read_struct.
aioss_status load_model(const aioss_model_options& options, ModelPointer& out, aioss_error* error);

// engine::check_session_options, and this engine's own: the cells of all sequences are counted in
// 32 bits, rounded up, in one buffer; and keys and values can be kept in few ways.
aioss_status check_geometry(const llama_model& model, aioss_session_options& options,
                            aioss_error* error);

// What both a session and its dry run ask for. `options` has passed check_geometry.
llama_context_params context_params(const aioss_session_options& options);

// plan.cc. `model` was opened for a dry run; `options` is a copy made by read_struct.
aioss_status plan_session(const IkModel& model, aioss_session_options options, aioss_plan& out,
                          aioss_error* error);
// What is on the heap of this process now, in bytes.
std::uint64_t heap_bytes();

std::string architecture_of(const llama_model& model);

std::string build_id();

}  // namespace aioss::engines::ik
