// Opening a model from a file descriptor. Model files are untrusted; what
// llama.cpp refuses comes back as a status, what it asserts on ends the process, which is a
// worker's.
#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "base/assert.h"
#include "engine/abi.h"
#include "engines/ggml/loading.h"
#include "engines/llama/backend.h"
#include "engines/llama/descriptor_file.h"
#include "engines/llama/invariance.h"
#include "engines/llama/model.h"
#include "engines/llama/placement.h"
#include "llama-ext.h"
#include "llama-model.h"

namespace aioss::engines::llama {
namespace {

using engine::fail;

constexpr std::uint32_t kCellsPad = 256;           // llama.cpp rounds a stream's cells up to this
constexpr std::uint32_t kMicroBatchDefault = 512;  // llama.cpp's own choice

// Models whose memory cannot be cut back to an earlier position, or that do not continue a text,
// would break promises of the ABI: refused here, with the reason.
aioss_status check_kind(const llama_model& model, aioss_error* error) {
  const auto refuse = [&](const char* reason) { return fail(error, AIOSS_E_UNSUPPORTED, reason); };
  if (llama_model_is_recurrent(&model) || llama_model_is_hybrid(&model)) {
    return refuse("recurrent and hybrid models are not supported: their state cannot be cut back");
  }
  if (llama_model_is_diffusion(&model)) return refuse("diffusion models are not supported");
  if (llama_model_has_encoder(&model) || !llama_model_has_decoder(&model)) {
    return refuse("encoder models are not supported: only decoders continue a text");
  }
  const llama_vocab* vocab = llama_model_get_vocab(&model);
  if (llama_vocab_type(vocab) == LLAMA_VOCAB_TYPE_NONE || llama_vocab_n_tokens(vocab) <= 0) {
    return refuse("the model has no vocabulary");
  }
  return AIOSS_OK;
}

// One file, or the parts of a split model in their order. On AIOSS_OK `out` may still be empty:
// then llama.cpp has logged why.
aioss_status read_files(const aioss_model_options& options, const llama_model_params& params,
                        ModelPointer& out, aioss_error* error) {
  if (options.fd_count == 1) {
    FilePointer file;
    if (const auto s = open_stream(options.fds[0], file, error); s != AIOSS_OK) return s;
    out.reset(llama_model_load_from_file_ptr(file.get(), params));
    return AIOSS_OK;
  }
  std::vector<std::string> paths;
  for (std::uint32_t i = 0; i < options.fd_count; ++i) {
    paths.push_back(descriptor_path(options.fds[i]));
  }
  std::vector<const char*> names;
  for (const std::string& path : paths) names.push_back(path.c_str());
  out.reset(llama_model_load_from_splits(names.data(), names.size(), params));
  return AIOSS_OK;
}

static_assert(engine::kCellsPerSequenceMax % kCellsPad == 0);  // so that rounding stays in range

std::uint32_t padded_cells(std::uint32_t cells) {
  return (cells + kCellsPad - 1) / kCellsPad * kCellsPad;
}

}  // namespace

std::string architecture_of(const llama_model& model) {
  char text[64] = {};
  const int n = llama_model_meta_val_str(&model, "general.architecture", text, sizeof text);
  return n > 0 ? text : "unknown";
}

namespace {

// Without our patch 0006 llamafile's products of these sum one column in another order than
// several. Rows of a matrix: vectors are not multiplied with.
bool company_would_change(const ggml_tensor& weights) {
  const bool sums_otherwise = weights.type == GGML_TYPE_F32 || weights.type == GGML_TYPE_F16 ||
                              weights.type == GGML_TYPE_BF16 || weights.type == GGML_TYPE_IQ4_NL;
  return sums_otherwise && ggml_n_dims(&weights) > 1;
}

aioss_status check_weights(const llama_model& model, std::uint32_t profile, aioss_error* error) {
  if (kHasInvariantKernels || profile == AIOSS_PROFILE_FAST) return AIOSS_OK;
  for (const auto& [name, tensor] : model.tensors_by_name) {
    if (!company_would_change(*tensor)) continue;
    return fail(error, AIOSS_E_UNSUPPORTED,
                "weights in " + std::string(ggml_type_name(tensor->type)) + ", as " + name +
                    ", have other bits in company than alone with a llama.cpp that lacks our "
                    "patches: for the profile reproducible take the model in another quantization");
  }
  return AIOSS_OK;
}

}  // namespace

aioss_status load_model(const aioss_model_options& options, LlamaModel& model, aioss_error* error) {
  ModelPointer& out = model.model;
  if (const auto s = engine::check_model_options(options, error); s != AIOSS_OK) return s;
  if (options.profile == AIOSS_PROFILE_EVIDENCE) {
    return fail(error, AIOSS_E_UNSUPPORTED,
                "this engine keeps the profiles fast and reproducible only");
  }
  const bool dry = (options.flags & AIOSS_MODEL_DRY_RUN) != 0;
  ensure_backend();
  const LogScope log;
  for (std::uint32_t i = 0; i < options.fd_count; ++i) {
    if (const auto s = check_magic(options.fds[i], error); s != AIOSS_OK) return s;
  }

  Placement placement;  // without devices: the CPU alone, whatever else is compiled in
  if (const auto s = Placement::read(options, placement, error); s != AIOSS_OK) return s;
  model.devices = placement.indices();
  ggml::LoadProgress progress(options);
  llama_model_params params = llama_model_default_params();
  placement.apply(params);
  params.load_mode = dry ? LLAMA_LOAD_MODE_NONE : LLAMA_LOAD_MODE_MMAP;
  params.lazy_mode = LLAMA_LAZY_MODE_OFF;
  params.progress_callback = ggml::LoadProgress::on_progress;
  params.progress_callback_user_data = &progress;
  params.use_extra_bufts = options.profile == AIOSS_PROFILE_FAST;  // repacking changes bits
  params.no_alloc = dry;
  if (const auto s = read_files(options, params, out, error); s != AIOSS_OK) return s;
  if (progress.was_cancelled()) {
    out.reset();
    return fail(error, AIOSS_E_ABORTED, "loading was cancelled");
  }
  if (!out) {
    const std::string message = log.error_or("llama.cpp cannot load this file");
    return fail(error, ggml::status_of_load(message), message);
  }
  if (const auto s = check_kind(*out, error); s != AIOSS_OK) return s;
  return check_weights(*out, options.profile, error);
}

aioss_status load_vocabulary(const std::vector<int>& fds, ModelPointer& out, aioss_error* error) {
  if (fds.empty() || fds.size() > engine::kPartsMax) {
    return fail(error, AIOSS_E_INVALID, "a model has 1 to 64 parts");
  }
  ensure_backend();
  const LogScope log;
  for (const int fd : fds) {
    if (const auto s = check_magic(fd, error); s != AIOSS_OK) return s;
  }
  aioss_model_options files = {};
  files.fds = fds.data();
  files.fd_count = static_cast<std::uint32_t>(fds.size());
  ggml_backend_dev_t no_devices[] = {nullptr};
  llama_model_params params = llama_model_default_params();
  params.devices = no_devices;
  params.n_gpu_layers = 0;
  params.load_mode = LLAMA_LOAD_MODE_NONE;
  params.vocab_only = true;
  if (const auto s = read_files(files, params, out, error); s != AIOSS_OK) return s;
  if (!out) {
    const std::string message = log.error_or("llama.cpp cannot read this file");
    return fail(error, ggml::status_of_load(message), message);
  }
  return check_kind(*out, error);
}

aioss_status check_geometry(aioss_session_options& options, aioss_error* error) {
  if (const auto s = engine::check_session_options(options, error); s != AIOSS_OK) return s;
  return engine::check_cells_total(options.sequences_max, padded_cells(options.cells_per_sequence),
                                   error);
}

namespace {

ggml_type ggml_type_of(std::uint32_t kv_type) {
  constexpr ggml_type kTypes[] = {GGML_TYPE_F16,  GGML_TYPE_BF16, GGML_TYPE_F32,  GGML_TYPE_Q8_0,
                                  GGML_TYPE_Q5_1, GGML_TYPE_Q5_0, GGML_TYPE_Q4_1, GGML_TYPE_Q4_0};
  ASSERT(kv_type < std::size(kTypes));  // check_session_options
  return kTypes[kv_type];
}

bool may_use_flash_attention(aioss_profile profile) {
  return profile == AIOSS_PROFILE_FAST || kHasInvariantKernels;
}

// How many queries go together decides whether flash attention takes them one by one or in tiles:
// so that a chunk which ends on the grid has micro-batches of one kind, however it was cut; and one
// that ends with the prompt, too, for LlamaSession::decode computes a tail of few by itself.
std::uint32_t on_grid(std::uint32_t tokens) {
  return tokens >= kPrefillGridTokens ? tokens / kPrefillGridTokens * kPrefillGridTokens
                                      : std::bit_floor(tokens);
}

}  // namespace

aioss_status check_kv_type(const llama_model& model, aioss_profile profile, std::uint32_t kv_type,
                           aioss_error* error) {
  const ggml_type type = ggml_type_of(kv_type);
  if (!ggml_is_quantized(type)) return AIOSS_OK;
  const std::string name = ggml_type_name(type);
  if (!may_use_flash_attention(profile)) {
    return fail(error, AIOSS_E_UNSUPPORTED,
                "kv_type " + name +
                    " needs flash attention, which the profile reproducible goes without; take "
                    "f16, or the profile fast");
  }
  // Of the first layer; llama.cpp looks at all of them, with less to say.
  const std::int64_t heads = std::max(llama_model_n_head(&model), 1);
  const std::int64_t block = ggml_blck_size(type);
  const std::int64_t width = llama_model_n_embd(&model) / heads;
  const char* key = "attention.key_length";
  char text[32] = {};
  const std::string full = architecture_of(model) + "." + key;
  const bool given = llama_model_meta_val_str(&model, full.c_str(), text, sizeof text) > 0;
  const std::int64_t head = given ? std::strtoll(text, nullptr, 10) : width;
  if (head % block == 0) return AIOSS_OK;
  return fail(error, AIOSS_E_UNSUPPORTED,
              "kv_type " + name + " stores numbers in blocks of " + std::to_string(block) +
                  ", and this model's heads have " + std::to_string(head) + "; take f16");
}

aioss_status check_flash_attention(aioss_profile profile, const aioss_session_options& options,
                                   aioss_error* error) {
  const std::uint32_t wanted = options.flash_attention;
  if (wanted == AIOSS_FLASH_ON && !may_use_flash_attention(profile)) {
    return fail(error, AIOSS_E_UNSUPPORTED,
                "flash attention of this llama.cpp has other bits in company than alone; the "
                "profile reproducible goes without");
  }
  if (wanted == AIOSS_FLASH_OFF && ggml_is_quantized(ggml_type_of(options.kv_type))) {
    return fail(error, AIOSS_E_UNSUPPORTED,
                "a quantized kv_type needs flash attention; take f16, or leave it on");
  }
  return AIOSS_OK;
}

llama_flash_attn_type flash_attention_of(aioss_profile profile,
                                         const aioss_session_options& options) {
  if (!may_use_flash_attention(profile)) return LLAMA_FLASH_ATTN_TYPE_DISABLED;
  switch (options.flash_attention) {
    case AIOSS_FLASH_ON:
      return LLAMA_FLASH_ATTN_TYPE_ENABLED;
    case AIOSS_FLASH_OFF:
      return LLAMA_FLASH_ATTN_TYPE_DISABLED;
    default:
      // It would compute with copies of F32 in F16, made for each layer and step.
      if (options.kv_type == AIOSS_KV_F32) return LLAMA_FLASH_ATTN_TYPE_DISABLED;
      return LLAMA_FLASH_ATTN_TYPE_AUTO;
  }
}

llama_context_params context_params(const llama_model& model, aioss_profile profile,
                                    const aioss_session_options& options) {
  const bool reproducible = profile != AIOSS_PROFILE_FAST;
  llama_context_params params = llama_context_default_params();
  params.n_seq_max = options.sequences_max;
  const std::uint64_t cells =
      std::uint64_t{padded_cells(options.cells_per_sequence)} * options.sequences_max;
  ASSERT(cells <= engine::kCellsTotalMax);  // check_geometry
  params.n_ctx = static_cast<std::uint32_t>(cells);
  params.n_batch = options.batch_tokens_max;
  params.n_ubatch = options.micro_batch_tokens_max != 0
                        ? options.micro_batch_tokens_max
                        : std::min(options.batch_tokens_max, kMicroBatchDefault);
  if (reproducible) params.n_ubatch = on_grid(params.n_ubatch);
  // llama.cpp asserts that every sequence may have one. Small on purpose: the default, n_batch,
  // makes the compute buffer of large vocabularies many times larger.
  params.n_outputs_max = std::max(options.outputs_max, options.sequences_max);
  params.n_threads = static_cast<std::int32_t>(options.threads);
  params.n_threads_batch = static_cast<std::int32_t>(options.threads_batch);
  params.type_k = params.type_v = ggml_type_of(options.kv_type);
  params.kv_unified = false;  // own KV stream for each sequence
  params.no_perf = true;
  // Where layers are on another device, their KV is, too.
  params.offload_kqv = params.op_offload = llama_model_n_devices(&model) > 0;
  params.flash_attn_type = flash_attention_of(profile, options);
  // A sliding-window ring would place cells, and so order sums, by how the prefill was cut.
  params.swa_full = reproducible || llama_model_n_swa(&model) == 0;
  return params;
}

std::uint64_t resident_weight_bytes(llama_model& model) {
  const LogScope log;
  aioss_session_options smallest = {};
  smallest.sequences_max = smallest.batch_tokens_max = smallest.outputs_max = 1;
  smallest.cells_per_sequence = smallest.threads = smallest.threads_batch = 1;
  const ContextPointer context(
      llama_init_from_model(&model, context_params(model, AIOSS_PROFILE_FAST, smallest)));
  if (!context) return llama_model_size(&model);
  std::uint64_t bytes = 0;
  for (const auto& [type, data] : llama_get_memory_breakdown(context.get())) bytes += data.model;
  return bytes;
}

}  // namespace aioss::engines::llama
