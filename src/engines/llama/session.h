// One KV cache and its compute buffers: a llama_context with a stream of cells for each sequence,
// and the threads that compute. Used by one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "aioss/engine.h"
#include "engine/sequence_lengths.h"
#include "engines/llama/model.h"

namespace aioss::engines::llama {

struct ThreadPoolDeleter {
  void operator()(ggml_threadpool* pool) const { ggml_threadpool_free(pool); }
};
using ThreadPoolPointer = std::unique_ptr<ggml_threadpool, ThreadPoolDeleter>;

// Statuses and errors as in aioss/engine.h. `model` outlives the session.
class LlamaSession final {
 public:
  static aioss_status create(LlamaModel& model, aioss_session_options options,
                             std::unique_ptr<LlamaSession>& out, aioss_error* error);
  ~LlamaSession();
  LlamaSession(const LlamaSession&) = delete;
  LlamaSession& operator=(const LlamaSession&) = delete;

  aioss_status decode(const aioss_batch& batch, aioss_error* error);
  const float* logits(std::uint32_t output);
  aioss_status remove(std::int32_t sequence, std::int32_t from, std::int32_t to,
                      aioss_error* error);
  aioss_status copy(std::int32_t source, std::int32_t target, aioss_error* error);
  aioss_status state_size(std::int32_t sequence, std::size_t& size, aioss_error* error);
  aioss_status save(std::int32_t sequence, std::uint8_t* data, std::size_t& size,
                    aioss_error* error);
  aioss_status load(std::int32_t sequence, const std::uint8_t* data, std::size_t size,
                    aioss_error* error);
  const aioss_counters& counters() const { return counters_; }
  // It is about to be freed.
  void forget_adapter(const llama_adapter_lora* adapter);

 private:
  LlamaSession(LlamaModel& model, const aioss_session_options& options);

  static bool on_abort(void* user);
  static bool on_node(ggml_tensor* node, bool ask, void* user);
  bool attach_threads();
  aioss_status broken(aioss_error* error) const;
  std::uint32_t vocabulary_size() const;
  void read_back_lengths(const aioss_batch& batch);
  aioss_status use_adapters(const aioss_batch& batch, aioss_error* error);
  aioss_status decode_in_parts(const aioss_batch& batch, bool abortable, aioss_error* error);
  aioss_status decode_together(const aioss_batch& batch, aioss_error* error, bool abortable = true);
  bool company_would_tell(const aioss_batch& batch) const;
  aioss_status finish(int result, const aioss_batch& batch, const std::string& message,
                      aioss_error* error);
  std::uint64_t fingerprint() const;
  std::size_t raw_size(std::int32_t sequence) const;

  LlamaModel& model_;
  aioss_session_options options_;
  ThreadPoolPointer pool_;        // outlives the context
  ThreadPoolPointer pool_batch_;  // null: the same
  ContextPointer context_;
  engine::SequenceLengths lengths_;
  std::vector<std::int32_t> output_rows_;  // output number → index in the last batch
  std::vector<std::int32_t> one_each_;     // llama_batch wants these arrays
  std::vector<llama_seq_id*> sequence_pointers_;
  // In force in the context.
  std::vector<llama_adapter_lora*> adapters_;
  std::vector<float> scales_;
  // Of a call that was computed in several: the rows of logits of all.
  std::vector<float> rows_;
  bool rows_are_copied_ = false;
  aioss_counters counters_ = {};
  std::string first_node_;  // of the decode call's first graph
  bool abortable_ = false;  // the call that is running may be given up
  bool failed_ = false;
};

}  // namespace aioss::engines::llama
