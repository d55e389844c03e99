// The dry run: a context is made whose buffers are address space that nobody touches (dry_run.h),
// and asked how large they are. What it leaves out is added here: what engine and process need
// beside.
#include <malloc.h>

#include <algorithm>

#include "engine/abi.h"
#include "engines/ik/backend.h"
#include "engines/ik/context_internals.h"
#include "engines/ik/dry_run.h"
#include "engines/ik/model.h"

namespace aioss::engines::ik {
namespace {

using engine::fail;

// Relocated data of the plugin, allocator, graphs, the host's queues: as for the engine llama,
// whose figures were calibrated against workers; and what ik's scheduler keeps besides.
constexpr std::uint64_t kProcessBytes = std::uint64_t{16} << 20;
constexpr std::uint64_t kTokenBytes = 12;  // lists of all tokens, in llama.cpp and in samplers
constexpr std::uint64_t kThreadBytes = std::uint64_t{256} << 10;  // stack and scratch
constexpr std::uint64_t kUsedCellBytes = 48;  // its set of sequences has a node on the heap

// Scratch of matrix products: the right operand, quantized.
std::uint64_t scratch_bytes(const llama_model& model, const llama_context_params& params) {
  constexpr std::uint64_t kWidest = 4;  // a feed-forward network is about so many embeddings wide
  return std::uint64_t{params.n_ubatch} *
         static_cast<std::uint64_t>(std::max(llama_model_n_embd(&model), 1)) * kWidest;
}

}  // namespace

std::uint64_t heap_bytes() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

aioss_status plan_session(const IkModel& model, aioss_session_options options, aioss_plan& out,
                          aioss_error* error) {
  if (!model.dry) {
    return fail(error, AIOSS_E_INVALID, "a plan wants a model opened with AIOSS_MODEL_DRY_RUN");
  }
  if (const auto s = check_geometry(*model.model, options, error); s != AIOSS_OK) return s;
  const LogScope log;
  const DryRun dry;
  const llama_context_params params = context_params(options);
  const ContextPointer context(llama_init_from_model(model.model.get(), params));
  if (!context) {
    return fail(error, AIOSS_E_NO_MEMORY, log.error_or("ik_llama.cpp cannot plan this session"));
  }
  out.exact = 1;
  out.weight_bytes = model.weight_bytes;
  out.kv_bytes = context->kv_self.total_size();
  out.compute_bytes = ggml_backend_sched_get_buffer_size(context->sched, context->backend_cpu);
  out.output_bytes = ggml_backend_buffer_get_size(context->buf_output);
  out.vocabulary_bytes = model.vocabulary_bytes;
  const std::uint64_t threads = std::max({options.threads, options.threads_batch, 1U});
  const auto vocabulary = static_cast<std::uint64_t>(llama_n_vocab(model.model.get()));
  out.overhead_bytes = kProcessBytes + threads * kThreadBytes + vocabulary * kTokenBytes +
                       scratch_bytes(*model.model, params) + context->buf_compute_meta.size() +
                       context->kv_self.cells.size() * (sizeof(llama_kv_cell) + kUsedCellBytes);
  return AIOSS_OK;
}

}  // namespace aioss::engines::ik
