// One KV cache and its compute buffers: a llama_context whose one buffer of cells is shared by all
// sequences, each of which may fill as many as it was promised. Used by one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "aioss/engine.h"
#include "engine/sequence_lengths.h"
#include "engines/ik/model.h"

namespace aioss::engines::ik {

// Statuses and errors as in aioss/engine.h. `model` outlives the session.
class IkSession final {
 public:
  static aioss_status create(IkModel& model, aioss_session_options options,
                             std::unique_ptr<IkSession>& out, aioss_error* error);
  ~IkSession();
  IkSession(const IkSession&) = delete;
  IkSession& operator=(const IkSession&) = delete;

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

 private:
  IkSession(IkModel& model, const aioss_session_options& options);

  static bool on_abort(void* user);
  aioss_status broken(aioss_error* error) const;
  aioss_status decode_piece(const aioss_batch& piece, aioss_error* error);
  void keep_rows();
  void cut_back(const aioss_batch& batch);
  std::size_t vocabulary_size() const;
  std::uint64_t fingerprint() const;

  IkModel& model_;
  aioss_session_options options_;
  ContextPointer context_;
  engine::SequenceLengths lengths_;
  std::vector<std::int32_t> output_rows_;  // output number → index in the last piece
  std::vector<std::int32_t> one_each_;     // llama_batch wants these arrays
  std::vector<llama_seq_id*> sequence_pointers_;
  // Of a call that was computed in several pieces: the rows of logits of all.
  std::vector<float> rows_;
  bool rows_are_copied_ = false;
  aioss_counters counters_ = {};
  bool abortable_ = false;  // the call that is running may be given up
  bool aborted_ = false;    // it was
  bool failed_ = false;
};

}  // namespace aioss::engines::ik
