// The dry run: llama.cpp makes model and context with no_alloc, which measures every buffer and
// allocates none. What it leaves out is added here: rows of logits, tables of tokens, and what
// engine and process need beside them.
#include <malloc.h>

#include <algorithm>
#include <string>

#include "engine/abi.h"
#include "engines/llama/log_scope.h"
#include "engines/llama/model.h"
#include "llama-ext.h"

namespace aioss::engines::llama {
namespace {

using engine::fail;

// Calibrated against RssAnon of running workers, for both test models, profiles and geometries from
// 1 × 512 to 8 × 4096 cells (src/app/plan_test.py repeats it): what the process has before a model
// is opened (relocated data of the binary, allocator), its text side and its queues.
constexpr std::uint64_t kProcessBytes = std::uint64_t{8} << 20;
// Touched stack and scratch of each compute thread.
constexpr std::uint64_t kThreadBytes = std::uint64_t{256} << 10;

}  // namespace

std::uint64_t heap_bytes() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
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
  const LogScope log;
  const std::uint64_t before = heap_bytes();
  const ContextPointer context(llama_init_from_model(
      model.model.get(), context_params(*model.model, model.profile, options)));
  if (!context) {
    return fail(error, AIOSS_E_FAILED, log.error_or("llama.cpp cannot plan this session"));
  }
  const std::uint64_t after = heap_bytes();
  out.exact = 1;
  for (const auto& [type, bytes] : llama_get_memory_breakdown(context.get())) {
    out.weight_bytes += bytes.model;
    out.kv_bytes += bytes.context;
    out.compute_bytes += bytes.compute;
  }
  const llama_vocab* vocab = llama_model_get_vocab(model.model.get());
  const auto vocabulary = static_cast<std::uint64_t>(llama_vocab_n_tokens(vocab));
  const std::uint64_t rows = std::max(options.outputs_max, options.sequences_max);
  out.output_bytes = rows * vocabulary * sizeof(float);
  out.vocabulary_bytes = model.vocabulary_bytes;
  const std::uint64_t threads = std::max({options.threads, options.threads_batch, 1U});
  // Graphs and their allocators are made here as in a real session.
  out.overhead_bytes = kProcessBytes + threads * kThreadBytes + (after - std::min(before, after));
  return AIOSS_OK;
}

}  // namespace aioss::engines::llama
