#include "engines/llama/llama_engine.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "build-info.h"
#include "engine/abi.h"
#include "engine/session_edge.h"
#include "engines/llama/adapter.h"
#include "engines/llama/backend.h"
#include "engines/llama/model.h"
#include "engines/llama/placement.h"
#include "engines/llama/session.h"
#include "llama.h"

namespace aioss::engines::llama {
namespace {

#ifdef AIOSS_ENGINE_PLUGIN
constexpr const char* kEngineName = AIOSS_LLAMA_NAME;
constexpr std::string_view kBackend = AIOSS_LLAMA_BACKEND;
#else  // the one in the binary
constexpr const char* kEngineName = "llama";
constexpr std::string_view kBackend = "cpu";
#endif

}  // namespace

std::string build_id() {
  return "llama.cpp-" + std::string(llama_commit()) +
         "+" AIOSS_LLAMA_PATCH_ID "+cpu-" AIOSS_LLAMA_CPU +
         (kBackend == "cpu" ? std::string() : "+" + std::string(kBackend));
}

namespace {

using engine::fail;
using engine::guarded;
using engine::read_struct;
using engine::write_struct;

using Edge = engine::SessionEdge<LlamaModel, LlamaSession>;

// Instruction sets compiled in, as ggml names them.
const std::string& features() {
  static const std::string text = [] {
    const struct {
      const char* name;
      int has;
    } all[] = {{"sse3", ggml_cpu_has_sse3()},
               {"ssse3", ggml_cpu_has_ssse3()},
               {"avx", ggml_cpu_has_avx()},
               {"avx2", ggml_cpu_has_avx2()},
               {"bmi2", ggml_cpu_has_bmi2()},
               {"f16c", ggml_cpu_has_f16c()},
               {"fma", ggml_cpu_has_fma()},
               {"avx_vnni", ggml_cpu_has_avx_vnni()},
               {"avx512", ggml_cpu_has_avx512()},
               {"avx512_vbmi", ggml_cpu_has_avx512_vbmi()},
               {"avx512_vnni", ggml_cpu_has_avx512_vnni()},
               {"avx512_bf16", ggml_cpu_has_avx512_bf16()},
               {"amx_int8", ggml_cpu_has_amx_int8()},
               {"neon", ggml_cpu_has_neon()},
               {"arm_fma", ggml_cpu_has_arm_fma()},
               {"dotprod", ggml_cpu_has_dotprod()},
               {"sve", ggml_cpu_has_sve()},
               {"llamafile", ggml_cpu_has_llamafile()}};
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
  // "0.5.0-dev" in the released tree; the suffix says nothing.
  static const std::string version =
      std::string(llama_version()).substr(0, std::string_view(llama_version()).find('-'));
  aioss_engine_identity value = {};
  value.abi_version = AIOSS_ENGINE_ABI_VERSION;
  value.name = kEngineName;
  value.version = version.c_str();
  value.build_id = build.c_str();
  value.compiler = llama_compiler();
  value.cpu_features = features().c_str();
  write_struct(out, value);
}

uint32_t profiles() {
  return (1u << AIOSS_PROFILE_FAST) | (1u << AIOSS_PROFILE_REPRODUCIBLE);
}

uint32_t prefill_grid_tokens() {
  return kPrefillGridTokens;
}

uint32_t device_count() {
  ensure_backend();
  return static_cast<uint32_t>(ggml_backend_dev_count());
}

template <std::size_t N>
void copy_text(char (&out)[N], const char* text) {
  std::strncpy(out, text == nullptr ? "" : text, N - 1);
  out[N - 1] = '\0';
}

aioss_status device(uint32_t index, aioss_device* out, aioss_error* error) {
  return guarded(error, [&] {
    if (index >= device_count()) return fail(error, AIOSS_E_INVALID, "there is no such device");
    if (out == nullptr) return fail(error, AIOSS_E_INVALID, "no room for a device");
    ggml_backend_dev_t dev = ggml_backend_dev_get(index);
    aioss_device value = {};
    value.kind = kind_of(dev);
    copy_text(value.name, ggml_backend_dev_name(dev));
    // ggml calls Metal so; people do not.
    const std::string_view backend = ggml_backend_reg_name(ggml_backend_dev_backend_reg(dev));
    copy_text(value.backend, backend == "MTL" ? "Metal" : backend.data());
    copy_text(value.description, ggml_backend_dev_description(dev));
    if (out->struct_size > offsetof(aioss_device, bytes_total)) {
      std::size_t free = 0;
      std::size_t total = 0;
      ggml_backend_dev_memory(dev, &free, &total);
      value.bytes_free = free;
      value.bytes_total = total;
    }
    if (!write_struct(out, value)) return fail(error, AIOSS_E_INVALID, "no room for a device");
    return AIOSS_OK;
  });
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

aioss_status model_open(const aioss_model_options* options, aioss_model** out, aioss_error* error) {
  return guarded(error, [&] {
    aioss_model_options copy;
    if (out == nullptr || !read_struct(options, copy)) {
      return fail(error, AIOSS_E_INVALID, "no options, or without struct_size");
    }
    *out = nullptr;
    auto model = std::make_unique<LlamaModel>();
    const std::uint64_t heap = heap_bytes();
    if (const auto s = load_model(copy, *model, error); s != AIOSS_OK) return s;
    // The vocabulary, all but for some descriptions of tensors: a dry run has nothing else there.
    model->vocabulary_bytes = heap_bytes() - std::min(heap, heap_bytes());
    model->dry = (copy.flags & AIOSS_MODEL_DRY_RUN) != 0;
    model->profile = static_cast<aioss_profile>(copy.profile);
    model->weight_bytes = resident_weight_bytes(*model->model);
    model->architecture = architecture_of(*model->model);
    char text[256] = {};
    llama_model_desc(model->model.get(), text, sizeof text);
    model->description = text;
    *out = reinterpret_cast<aioss_model*>(model.release());
    return AIOSS_OK;
  });
}

void model_facts(const aioss_model* handle, aioss_model_facts* out) {
  const LlamaModel& model = *model_of(handle);
  const llama_model* raw = model.model.get();
  const auto number = [](std::int32_t n) { return n > 0 ? static_cast<std::uint32_t>(n) : 0; };
  aioss_model_facts value = {};
  value.vocabulary_size = number(llama_vocab_n_tokens(llama_model_get_vocab(raw)));
  value.context_tokens_train = number(llama_model_n_ctx_train(raw));
  value.embedding_size = number(llama_model_n_embd(raw));
  value.layer_count = number(llama_model_n_layer(raw));
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

aioss_status adapter_open(aioss_model* model, const aioss_adapter_options* options,
                          aioss_adapter** out, aioss_error* error) {
  return guarded(error, [&] {
    aioss_adapter_options copy;
    if (model == nullptr || out == nullptr || !read_struct(options, copy)) {
      return fail(error, AIOSS_E_INVALID, "no model, no options, or without struct_size");
    }
    *out = nullptr;
    std::unique_ptr<LlamaAdapter> adapter;
    const auto s = open_adapter(*model_of(model), copy, adapter, error);
    *out = reinterpret_cast<aioss_adapter*>(adapter.release());
    return s;
  });
}

void adapter_facts(const aioss_adapter* handle, aioss_adapter_facts* out) {
  const LlamaAdapter& adapter = *adapter_of(handle);
  aioss_adapter_facts value = {};
  value.rank = adapter.rank;
  value.pair_count = adapter.pair_count;
  value.bytes = adapter.bytes;
  value.compute_bytes_per_token = adapter.compute_bytes_per_token;
  value.architecture = adapter.architecture.c_str();
  value.name = adapter.name.c_str();
  write_struct(out, value);
}

void adapter_close(aioss_adapter* handle) {
  if (handle == nullptr) return;
  const LogScope log;
  LlamaAdapter* const adapter = adapter_of(handle);
  for (LlamaSession* const session : adapter->model->sessions) {
    session->forget_adapter(adapter->adapter.get());
  }
  delete adapter;
}

}  // namespace

const aioss_engine* entry() {
  static constexpr aioss_engine kEngine = {
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
      .adapter_open = adapter_open,
      .adapter_facts = adapter_facts,
      .adapter_close = adapter_close,
  };
  return &kEngine;
}

}  // namespace aioss::engines::llama
