// The dry run: llama.cpp makes model and context with no_alloc, which measures every buffer and
// allocates none. What it leaves out is added here: rows of logits, tables of tokens, and what
// engine and process need beside them.
#include <algorithm>
#include <string>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "engine/abi.h"
#include "engines/llama/backend.h"
#include "engines/llama/model.h"
#include "llama-ext.h"
#include "llama-model.h"

namespace aioss::engines::llama {
namespace {

using engine::fail;

// Calibrated against RssAnon of workers that had computed full batches, for both test models and
// profiles, sessions of 1 × 2,048 to 8 × 256 cells and three KV types (src/app/plan_test.py repeats
// it). Relocated data of the binary, allocator, graphs, the host's queues:
constexpr std::uint64_t kProcessBytes = std::uint64_t{5} << 20;
constexpr std::uint64_t kTokenBytes = 12;  // lists of all tokens, in llama.cpp and in samplers
constexpr std::uint64_t kThreadBytes = std::uint64_t{256} << 10;  // stack and scratch

// Scratch of the CPU's matrix products: the right operand, converted to what the left one is
// multiplied with. Without flash attention the largest is the attention's weights, in 16 bits.
std::uint64_t scratch_bytes(const llama_model& model, const llama_context_params& params) {
  const std::uint64_t rows = params.n_ubatch;
  const auto positive = [](std::int32_t n) { return static_cast<std::uint64_t>(std::max(n, 1)); };
  constexpr std::uint64_t kWidest = 4;  // a feed-forward network is about so many embeddings wide
  const std::uint64_t feed_forward = rows * positive(llama_model_n_embd(&model)) * kWidest;
  const bool converts = params.type_v == GGML_TYPE_F16 || params.type_v == GGML_TYPE_BF16;
  if (params.flash_attn_type != LLAMA_FLASH_ATTN_TYPE_DISABLED || !converts) return feed_forward;
  const std::uint64_t cells = params.n_ctx / std::max(params.n_seq_max, 1U);
  constexpr std::uint64_t kHalf = 2;
  return std::max(feed_forward, rows * cells * positive(llama_model_n_head(&model)) * kHalf);
}

// Of the table of tokens' embeddings only the rows of a graph's tokens are read, so that most of
// its pages stay on the disk or leave again: those of one graph are planned, each row with the page
// that it shares with others. A tied output layer that is not repacked is the table itself, and
// read whole; one that is repacked is a tensor of its own.
std::uint64_t unread_bytes(const llama_model& model, const llama_context_params& params) {
  const ggml_tensor* const table = model.tok_embd;
  if (table == nullptr || model.output == nullptr || table == model.output) return 0;
  if (ggml_backend_buffer_get_type(table->buffer) != ggml_backend_cpu_buffer_type()) return 0;
  constexpr std::uint64_t kPageBytes = 4096;
  const std::uint64_t read = params.n_ubatch * (table->nb[1] + kPageBytes);
  const std::uint64_t whole = ggml_nbytes(table);
  return whole - std::min(read, whole);
}

// Of which of the model's devices a kind of buffer takes memory; null: of the host. What is the
// host's, but known to a device's driver, is the host's.
aioss_plan_device* place_of(ggml_backend_buffer_type_t type, aioss_plan& plan) {
  ggml_backend_dev_t device = ggml_backend_buft_get_device(type);
  if (device == nullptr || ggml_backend_buft_is_host(type)) return nullptr;
  for (std::uint32_t i = 0; i < plan.device_count; ++i) {
    if (ggml_backend_dev_get(plan.devices[i].device) == device) return &plan.devices[i];
  }
  return nullptr;
}

void add_buffers(const LlamaModel& model, const llama_context& context, aioss_plan& out) {
  for (const std::uint32_t device : model.devices) {
    if (out.device_count < AIOSS_DEVICES_MAX) out.devices[out.device_count++].device = device;
  }
  for (const auto& [type, bytes] : llama_get_memory_breakdown(&context)) {
    aioss_plan_device* const place = place_of(type, out);
    (place != nullptr ? place->weight_bytes : out.weight_bytes) += bytes.model;
    (place != nullptr ? place->kv_bytes : out.kv_bytes) += bytes.context;
    (place != nullptr ? place->compute_bytes : out.compute_bytes) += bytes.compute;
  }
}

}  // namespace

std::uint64_t heap_bytes() {
#ifdef __GLIBC__
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
#else
  return 0;  // not known: tables of tokens are then in no plan
#endif
}

aioss_status plan_session(const LlamaModel& model, aioss_session_options options, aioss_plan& out,
                          aioss_error* error) {
  if (!model.dry) {
    return fail(error, AIOSS_E_INVALID, "a plan wants a model opened with AIOSS_MODEL_DRY_RUN");
  }
  if (const auto s = check_geometry(options, error); s != AIOSS_OK) return s;
  if (const auto s = check_kv_type(*model.model, model.profile, options.kv_type, error);
      s != AIOSS_OK) {
    return s;
  }
  if (const auto s = check_flash_attention(model.profile, options, error); s != AIOSS_OK) return s;
  const LogScope log;
  const llama_context_params params = context_params(*model.model, model.profile, options);
  const ContextPointer context(llama_init_from_model(model.model.get(), params));
  if (!context) {
    return fail(error, AIOSS_E_FAILED, log.error_or("llama.cpp cannot plan this session"));
  }
  out.exact = 1;
  add_buffers(model, *context, out);
  out.weight_bytes -= std::min(out.weight_bytes, unread_bytes(*model.model, params));
  const llama_vocab* vocab = llama_model_get_vocab(model.model.get());
  const auto vocabulary = static_cast<std::uint64_t>(llama_vocab_n_tokens(vocab));
  const std::uint64_t rows = std::max(options.outputs_max, options.sequences_max);
  out.output_bytes = rows * vocabulary * sizeof(float);
  out.vocabulary_bytes = model.vocabulary_bytes;
  const std::uint64_t threads = std::max({options.threads, options.threads_batch, 1U});
  out.overhead_bytes = kProcessBytes + threads * kThreadBytes + vocabulary * kTokenBytes +
                       scratch_bytes(*model.model, params);
  return AIOSS_OK;
}

}  // namespace aioss::engines::llama
