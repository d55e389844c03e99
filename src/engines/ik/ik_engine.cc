// The table of functions of this engine, and the one symbol that the plugin exports.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>

#include "engine/abi.h"
#include "engine/session_edge.h"
#include "engines/ik/backend.h"
#include "engines/ik/model.h"
#include "engines/ik/session.h"

namespace aioss::engines::ik {

std::string build_id() {
  return "ik_llama.cpp-" AIOSS_IK_SOURCE_ID "+cpu-" AIOSS_IK_CPU;
}

namespace {

using engine::fail;
using engine::guarded;
using engine::read_struct;
using engine::write_struct;

using Edge = engine::SessionEdge<IkModel, IkSession>;

// Instruction sets compiled in, as ggml names them.
const std::string& features() {
  static const std::string text = [] {
    const struct {
      const char* name;
      int has;
    } all[] = {{"avx", ggml_cpu_has_avx()},
               {"avx2", ggml_cpu_has_avx2()},
               {"f16c", ggml_cpu_has_f16c()},
               {"fma", ggml_cpu_has_fma()},
               {"avx512", ggml_cpu_has_avx512()},
               {"avx512_vbmi", ggml_cpu_has_avx512_vbmi()},
               {"avx512_vnni", ggml_cpu_has_avx512_vnni()},
               {"avx512_bf16", ggml_cpu_has_avx512_bf16()},
               {"neon", ggml_cpu_has_neon()},
               {"arm_fma", ggml_cpu_has_arm_fma()},
               {"sve", ggml_cpu_has_sve()}};
    std::string out;
    for (const auto& feature : all) {
      if (feature.has == 0) continue;
      if (!out.empty()) out += ' ';
      out += feature.name;
    }
    return out;
  }();
  return text;
}

void identity(aioss_engine_identity* out) {
  static const std::string build = build_id();
  aioss_engine_identity value = {};
  value.abi_version = AIOSS_ENGINE_ABI_VERSION;
  value.name = "ik";
  value.version = AIOSS_IK_VERSION;
  value.build_id = build.c_str();
  value.compiler = "GNU " __VERSION__;
  value.cpu_features = features().c_str();
  write_struct(out, value);
}

// What it computes for a sequence depends on where in the one buffer its cells and its neighbours'
// stand: no promise of equal bits can be made.
uint32_t profiles() {
  return 1u << AIOSS_PROFILE_FAST;
}

uint32_t prefill_grid_tokens() {
  return 1;
}

uint32_t device_count() {
  return 1;
}

aioss_status device(uint32_t index, aioss_device* out, aioss_error* error) {
  if (index != 0) return fail(error, AIOSS_E_INVALID, "there is no such device");
  aioss_device value = {};
  value.kind = AIOSS_DEVICE_CPU;
  for (char* const text : {value.name, value.backend, value.description}) {
    std::memcpy(text, "CPU", sizeof "CPU");
  }
  const auto bytes = [](int pages) {
    const long count = sysconf(pages);
    const long size = sysconf(_SC_PAGESIZE);
    return count > 0 && size > 0 ? static_cast<uint64_t>(count) * static_cast<uint64_t>(size) : 0;
  };
  value.bytes_total = bytes(_SC_PHYS_PAGES);
  value.bytes_free = bytes(_SC_AVPHYS_PAGES);
  if (!write_struct(out, value)) return fail(error, AIOSS_E_INVALID, "no room for a device");
  return AIOSS_OK;
}

aioss_status plan(aioss_model* model, const aioss_session_options* options, aioss_plan* out,
                  aioss_error* error) {
  return guarded(error, [&] {
    aioss_session_options copy;
    if (model == nullptr || !read_struct(options, copy)) {
      return fail(error, AIOSS_E_INVALID, "no model, no options, or without struct_size");
    }
    aioss_plan value = {};
    if (const auto s = plan_session(*model_of(model), copy, value, error); s != AIOSS_OK) return s;
    if (!write_struct(out, value)) return fail(error, AIOSS_E_INVALID, "no room for a plan");
    return AIOSS_OK;
  });
}

std::uint64_t bytes_of_files(const aioss_model_options& options) {
  std::uint64_t bytes = 0;
  for (std::uint32_t i = 0; i < options.fd_count; ++i) {
    struct stat facts = {};
    if (fstat(options.fds[i], &facts) == 0) bytes += static_cast<std::uint64_t>(facts.st_size);
  }
  return bytes;
}

aioss_status model_open(const aioss_model_options* options, aioss_model** out, aioss_error* error) {
  return guarded(error, [&] {
    aioss_model_options copy;
    if (out == nullptr || !read_struct(options, copy)) {
      return fail(error, AIOSS_E_INVALID, "no options, or without struct_size");
    }
    *out = nullptr;
    auto model = std::make_unique<IkModel>();
    const std::uint64_t heap = heap_bytes();
    if (const auto s = load_model(copy, model->model, error); s != AIOSS_OK) return s;
    model->vocabulary_bytes = heap_bytes() - std::min(heap, heap_bytes());
    // Its own sum counts a tensor that is used twice, as the output too, twice.
    model->weight_bytes = std::min(llama_model_size(model->model.get()), bytes_of_files(copy));
    model->dry = (copy.flags & AIOSS_MODEL_DRY_RUN) != 0;
    model->architecture = architecture_of(*model->model);
    char text[256] = {};
    llama_model_desc(model->model.get(), text, sizeof text);
    model->description = text;
    *out = reinterpret_cast<aioss_model*>(model.release());
    return AIOSS_OK;
  });
}

void model_facts(const aioss_model* handle, aioss_model_facts* out) {
  const IkModel& model = *model_of(handle);
  const llama_model* raw = model.model.get();
  const auto number = [](std::int32_t n) { return n > 0 ? static_cast<std::uint32_t>(n) : 0; };
  aioss_model_facts value = {};
  value.vocabulary_size = number(llama_n_vocab(raw));
  value.context_tokens_train = number(llama_n_ctx_train(raw));
  value.embedding_size = number(llama_model_n_embd(raw));
  value.layer_count = number(llama_n_layer(raw));
  value.parameter_count = llama_model_n_params(raw);
  value.weight_bytes = model.weight_bytes;
  value.architecture = model.architecture.c_str();
  value.description = model.description.c_str();
  write_struct(out, value);
}

void model_close(aioss_model* model) {
  const LogScope log;
  delete model_of(model);
}

constexpr aioss_engine kEngine = {
    .struct_size = sizeof(aioss_engine),
    .abi_version = AIOSS_ENGINE_ABI_VERSION,
    .identity = identity,
    .profiles = profiles,
    .prefill_grid_tokens = prefill_grid_tokens,
    .device_count = device_count,
    .device = device,
    .plan = plan,
    .model_open = model_open,
    .model_facts = model_facts,
    .model_close = model_close,
    .session_create = Edge::create,
    .session_close = Edge::close,
    .decode = Edge::decode,
    .logits = Edge::logits,
    .sequence_remove = Edge::remove,
    .sequence_copy = Edge::copy,
    .sequence_state_size = Edge::state_size,
    .sequence_save = Edge::save,
    .sequence_load = Edge::load,
    .counters = Edge::counters,
    .adapter_open = nullptr,
    .adapter_facts = nullptr,
    .adapter_close = nullptr,
};

}  // namespace
}  // namespace aioss::engines::ik

extern "C" __attribute__((visibility("default"))) const aioss_engine* aioss_engine_entry(void);
extern "C" const aioss_engine* aioss_engine_entry(void) {
  return &aioss::engines::ik::kEngine;
}
