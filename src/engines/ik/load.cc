// Opening a model from file descriptors. Model files are untrusted; what ik_llama.cpp refuses comes
// back as a status, what it asserts on ends the process, which is a worker's.
#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "engine/abi.h"
#include "engines/ggml/loading.h"
#include "engines/ik/backend.h"
#include "engines/ik/context_internals.h"
#include "engines/ik/dry_run.h"
#include "engines/ik/model.h"
#include "engines/ik/model_files.h"

namespace aioss::engines::ik {
namespace {

using engine::fail;

constexpr std::uint32_t kCellsPad = 256;           // flash attention wants multiples
constexpr std::uint32_t kMicroBatchDefault = 512;  // ik_llama.cpp's own choice

// Models whose memory cannot be cut back to an earlier position, or that do not continue a text,
// would break promises of the ABI: refused here, with the reason.
aioss_status check_kind(const llama_model& model, aioss_error* error) {
  const auto refuse = [&](const char* reason) { return fail(error, AIOSS_E_UNSUPPORTED, reason); };
  if (llama_model_has_recurrent(&model)) {
    return refuse("recurrent and hybrid models are not supported: their state cannot be cut back");
  }
  if (llama_model_has_encoder(&model) || !llama_model_has_decoder(&model)) {
    return refuse("encoder models are not supported: only decoders continue a text");
  }
  if (llama_n_vocab(&model) <= 0) return refuse("the model has no vocabulary");
  return AIOSS_OK;
}

aioss_status check_options(const aioss_model_options& options, aioss_error* error) {
  if (const auto s = engine::check_model_options(options, error); s != AIOSS_OK) return s;
  constexpr std::uint32_t kDevices = 1;  // the CPU
  if (const auto s = engine::check_placement(options, kDevices, error); s != AIOSS_OK) return s;
  if (options.profile == AIOSS_PROFILE_FAST) return AIOSS_OK;
  return fail(error, AIOSS_E_UNSUPPORTED,
              "this engine keeps the profile fast only; take the engine llama for the others");
}

std::uint32_t padded_cells(std::uint32_t cells) {
  return (cells + kCellsPad - 1) / kCellsPad * kCellsPad;
}

struct KvType {
  const char* name;
  ggml_type type;
  bool can;
};

// What this build's flash attention reads; GGML_IQK_FA_ALL_QUANTS would add some and minutes to its
// compilation.
KvType kv_type_of(std::uint32_t kv_type) {
  const KvType types[] = {
      {"f16", GGML_TYPE_F16, true},    {"bf16", GGML_TYPE_BF16, ggml_cpu_has_avx512_bf16() != 0},
      {"f32", GGML_TYPE_F32, false},   {"q8_0", GGML_TYPE_Q8_0, true},
      {"q5_1", GGML_TYPE_Q5_1, false}, {"q5_0", GGML_TYPE_Q5_0, false},
      {"q4_1", GGML_TYPE_Q4_1, false}, {"q4_0", GGML_TYPE_Q4_0, false}};
  ASSERT(kv_type < std::size(types));  // check_session_options
  return types[kv_type];
}

// Of the first layer.
std::int64_t head_size(const llama_model& model) {
  char text[32] = {};
  const std::string key = architecture_of(model) + ".attention.key_length";
  if (llama_model_meta_val_str(&model, key.c_str(), text, sizeof text) > 0) {
    return std::strtoll(text, nullptr, 10);
  }
  const std::string heads = architecture_of(model) + ".attention.head_count";
  if (llama_model_meta_val_str(&model, heads.c_str(), text, sizeof text) <= 0) return 0;
  return llama_model_n_embd(&model) / std::max<std::int64_t>(std::strtoll(text, nullptr, 10), 1);
}

// A dry run has given its tensors no place, and the scheduler would plan one for each among the
// compute buffers. Nothing of them is read.
void place_weights(llama_model& model) {
  if (model.bufs.empty()) return;
  for (const auto& [name, tensor] : model.tensors_by_name) {
    if (tensor->data != nullptr) continue;
    tensor->buffer = model.bufs.front();
    tensor->data = ggml_backend_buffer_get_base(model.bufs.front());
  }
}

}  // namespace

std::string architecture_of(const llama_model& model) {
  char text[64] = {};
  const int n = llama_model_meta_val_str(&model, "general.architecture", text, sizeof text);
  return n > 0 ? text : "unknown";
}

aioss_status load_model(const aioss_model_options& options, ModelPointer& out, aioss_error* error) {
  if (const auto s = check_options(options, error); s != AIOSS_OK) return s;
  ensure_backend();
  const LogScope log;
  const ModelFiles files({options.fds, options.fd_count});
  if (const auto s = files.check_magic(error); s != AIOSS_OK) return s;
  ggml::LoadProgress progress(options);
  llama_model_params params = llama_model_default_params();
  params.n_gpu_layers = 0;
  params.progress_callback = ggml::LoadProgress::on_progress;
  params.progress_callback_user_data = &progress;
  params.dry_run = (options.flags & AIOSS_MODEL_DRY_RUN) != 0;
  {
    const DryRun dry(params.dry_run);
    out.reset(llama_model_load_from_file(files.path().c_str(), params));
  }
  if (progress.was_cancelled()) {
    out.reset();
    return fail(error, AIOSS_E_ABORTED, "loading was cancelled");
  }
  if (!out) {
    const std::string message = log.error_or("ik_llama.cpp cannot load this file");
    return fail(error, ggml::status_of_load(message), message);
  }
  if (params.dry_run) place_weights(*out);
  return check_kind(*out, error);
}

aioss_status check_geometry(const llama_model& model, aioss_session_options& options,
                            aioss_error* error) {
  if (const auto s = engine::check_session_options(options, error); s != AIOSS_OK) return s;
  if (const auto s = engine::check_cells_total(options.sequences_max,
                                               padded_cells(options.cells_per_sequence), error);
      s != AIOSS_OK) {
    return s;
  }
  if (options.flash_attention == AIOSS_FLASH_OFF) {
    return fail(error, AIOSS_E_UNSUPPORTED,
                "this engine computes attention in one pass only; leave flash attention on");
  }
  const KvType kv = kv_type_of(options.kv_type);
  if (!kv.can) {
    return fail(error, AIOSS_E_UNSUPPORTED,
                std::string("this engine keeps no keys and values as ") + kv.name +
                    "; take kv_type f16 or q8_0, or the engine llama");
  }
  const std::int64_t block = ggml_blck_size(kv.type);
  const std::int64_t head = head_size(model);
  if (head % block == 0) return AIOSS_OK;
  return fail(error, AIOSS_E_UNSUPPORTED,
              std::string("kv_type ") + kv.name + " stores numbers in blocks of " +
                  std::to_string(block) + ", and this model's heads have " + std::to_string(head) +
                  "; take f16");
}

llama_context_params context_params(const aioss_session_options& options) {
  llama_context_params params = llama_context_default_params();
  // One buffer of cells for all sequences. That each may have its own share, and no more, is ours
  // to see to (session.cc).
  const std::uint64_t cells =
      std::uint64_t{padded_cells(options.cells_per_sequence)} * options.sequences_max;
  ASSERT(cells <= engine::kCellsTotalMax);  // check_geometry
  params.n_ctx = static_cast<std::uint32_t>(cells);
  params.n_batch = options.batch_tokens_max;
  params.n_ubatch = options.micro_batch_tokens_max != 0
                        ? options.micro_batch_tokens_max
                        : std::min(options.batch_tokens_max, kMicroBatchDefault);
  // All that this number does here is to say how many rows of logits there is room for, and the
  // other, how many the largest graph computes: not all of a micro-batch, which for large
  // vocabularies would be hundreds of MiB.
  params.n_seq_max = std::max(options.outputs_max, options.sequences_max);
  params.worst_case_tokens = static_cast<std::int32_t>(std::min(params.n_seq_max, params.n_ubatch));
  params.n_threads = static_cast<std::int32_t>(options.threads);
  params.n_threads_batch = static_cast<std::int32_t>(options.threads_batch);
  params.type_k = params.type_v = kv_type_of(options.kv_type).type;
  params.offload_kqv = false;
  params.flash_attn = true;
  return params;
}

}  // namespace aioss::engines::ik
