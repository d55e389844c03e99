#include "worker/setup.h"

#include <algorithm>

#include "base/strings.h"
#include "engine/engine.h"

namespace aioss::worker {
namespace {

constexpr std::uint32_t kStreamsDefault = 4;  // two cores saturate at about this many
constexpr std::uint32_t kCellsDefaultMax = 4096;
// One call of prefill when nobody waits: llama.cpp's micro-batch, over which nothing gets faster.
constexpr std::uint32_t kBatchTokensDefault = 512;

}  // namespace

SchedulerOptions scheduler_options(const ipc::Configure& configure, const aioss_model_facts& facts,
                                   const aioss_engine& engine) {
  SchedulerOptions options;
  options.profile = configure.profile;
  options.on_device = configure.device != "cpu";
  options.streams = configure.streams > 0 ? configure.streams : kStreamsDefault;
  const std::uint32_t trained =
      facts.context_tokens_train > 0 ? facts.context_tokens_train : kCellsDefaultMax;
  // More than the model was trained for would be noise, not context.
  options.cells_per_stream = configure.cells_per_stream > 0
                                 ? std::min(configure.cells_per_stream, trained)
                                 : std::min(trained, kCellsDefaultMax);
  options.queue_requests_max = configure.queue_requests_max;
  options.spill_bytes_max = configure.spill_bytes_max;
  options.overcommit = configure.overcommit;
  options.prefill_grid_tokens = std::max(engine.prefill_grid_tokens(), 1U);
  const std::uint32_t chunk = configure.prefill_chunk_tokens_max;
  options.batch_tokens_max = std::max(
      {chunk > 0 ? chunk : kBatchTokensDefault, options.streams, options.prefill_grid_tokens});
  // Several tokens of a sequence in one call have other bits than one by one, unless the profile
  // says that they have not.
  if (configure.speculation && configure.profile != ipc::Profile::kReproducible) {
    options.draft_tokens_max = std::min(kDraftTokensMax, options.batch_tokens_max - 1);
  }
  return options;
}

Result<aioss_session_options> session_options(const SchedulerOptions& scheduler,
                                              const ipc::Configure& configure,
                                              std::uint32_t threads, AbortBoard& board) {
  const auto kv_type = engine::kv_type_from_name(configure.kv_type);
  if (!kv_type) {
    return Error{Code::kInvalidArgument, "there is no kv_type '" + one_line(configure.kv_type) +
                                             "'; take f16, q8_0 or q4_0"};
  }
  aioss_session_options options = {};
  options.struct_size = sizeof options;
  options.sequences_max = scheduler.streams;
  options.cells_per_sequence = scheduler.cells_per_stream;
  options.batch_tokens_max = scheduler.batch_tokens_max;
  // A row for each stream, or for each token of a call that verifies drafts.
  options.outputs_max = std::max(scheduler.streams, scheduler.draft_tokens_max + 1);
  options.threads = threads;
  options.threads_batch = configure.threads_batch > 0 ? configure.threads_batch : threads;
  options.micro_batch_tokens_max = configure.micro_batch_tokens_max;
  options.flash_attention = static_cast<std::uint32_t>(configure.flash_attention);
  options.kv_type = *kv_type;
  options.abort = &AbortBoard::should_abort;
  options.abort_user = &board;
  return options;
}

}  // namespace aioss::worker
