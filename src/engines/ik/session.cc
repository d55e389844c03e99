#include "engines/ik/session.h"

#include <algorithm>
#include <utility>

#include "engine/abi.h"
#include "engine/state_envelope.h"
#include "engines/ik/backend.h"
#include "engines/ik/cells.h"

namespace aioss::engines::ik {
namespace {

using engine::fail;

// So many free cells before the last used one are worth moving it: one step of what attention pads
// its cells to.
constexpr std::uint32_t kHolesMax = 256;

constexpr std::uint64_t kStateMagic = 0x3230'6473'6B69'6961u;

// Tokens [from, from + count) of a batch.
aioss_batch part_of(const aioss_batch& batch, std::uint32_t from, std::uint32_t count) {
  aioss_batch part = batch;
  part.token_count = count;
  part.tokens += from;
  part.positions += from;
  part.sequences += from;
  part.outputs += from;
  return part;
}

}  // namespace

aioss_status IkSession::create(IkModel& model, aioss_session_options options,
                               std::unique_ptr<IkSession>& out, aioss_error* error) {
  if (const auto s = check_geometry(*model.model, options, error); s != AIOSS_OK) return s;
  // The gateway, which may read /sys, chooses; without a choice one thread is always right.
  if (options.threads == 0) options.threads = 1;
  if (options.threads_batch == 0) options.threads_batch = options.threads;
  if (model.dry) return fail(error, AIOSS_E_INVALID, "this model was opened for a dry run");
  const LogScope log;
  std::unique_ptr<IkSession> session(new IkSession(model, options));
  llama_context_params params = context_params(options);
  if (options.abort != nullptr) {
    params.abort_callback = &IkSession::on_abort;
    params.abort_callback_data = session.get();
  }
  session->context_.reset(llama_init_from_model(model.model.get(), params));
  if (!session->context_) {
    const std::string message = log.error_or("ik_llama.cpp cannot create this session");
    const bool memory = message.find("alloc") != std::string::npos;
    return fail(error, memory ? AIOSS_E_NO_MEMORY : AIOSS_E_FAILED, message);
  }
  session->options_.micro_batch_tokens_max = llama_n_ubatch(session->context_.get());
  out = std::move(session);
  return AIOSS_OK;
}

IkSession::IkSession(IkModel& model, const aioss_session_options& options)
    : model_(model), options_(options), lengths_(options.sequences_max) {}

IkSession::~IkSession() {
  const LogScope log;
  context_.reset();
}

// ik_llama.cpp gives a graph up and says nothing about it: who asked remembers.
bool IkSession::on_abort(void* user) {
  auto* self = static_cast<IkSession*>(user);
  if (!self->abortable_) return false;
  self->aborted_ = self->aborted_ || self->options_.abort(self->options_.abort_user) != 0;
  return self->aborted_;
}

aioss_status IkSession::broken(aioss_error* error) const {
  return fail(error, AIOSS_E_FAILED, "this session has failed before; close it");
}

std::size_t IkSession::vocabulary_size() const {
  return static_cast<std::size_t>(llama_n_vocab(model_.model.get()));
}

// A call of ik_llama.cpp for each micro-batch: one that finds no cells has then changed nothing.
aioss_status IkSession::decode(const aioss_batch& batch, aioss_error* error) {
  if (failed_) return broken(error);
  if (batch.adapter_count != 0) {
    return fail(error, AIOSS_E_UNSUPPORTED,
                "this engine has no adapters; take the engine llama for them");
  }
  if (const auto s = engine::check_batch(
          batch, options_, static_cast<std::uint32_t>(vocabulary_size()), lengths_.all(), error);
      s != AIOSS_OK) {
    return s;
  }
  output_rows_.clear();
  rows_.clear();
  rows_are_copied_ = batch.token_count > options_.micro_batch_tokens_max;
  // An abort gives up the whole call; neighbours must not lose a step because one client left.
  abortable_ =
      batch.token_count > 1 && std::all_of(batch.sequences, batch.sequences + batch.token_count,
                                           [&](std::int32_t s) { return s == batch.sequences[0]; });
  aborted_ = false;
  aioss_status status = AIOSS_OK;
  for (std::uint32_t from = 0; status == AIOSS_OK && from < batch.token_count;) {
    const std::uint32_t count = std::min(options_.micro_batch_tokens_max, batch.token_count - from);
    status = decode_piece(part_of(batch, from, count), error);
    from += count;
  }
  if (status != AIOSS_OK) {
    output_rows_.clear();
    rows_.clear();
    if (status == AIOSS_E_ABORTED) cut_back(batch);
    return status;
  }
  for (std::uint32_t i = 0; i < batch.token_count; ++i) {
    ++lengths_[batch.sequences[i]];
  }
  ++counters_.decode_calls;
  counters_.tokens += batch.token_count;
  return AIOSS_OK;
}

aioss_status IkSession::decode_piece(const aioss_batch& piece, aioss_error* error) {
  output_rows_.clear();
  one_each_.assign(piece.token_count, 1);
  sequence_pointers_.resize(piece.token_count);
  for (std::uint32_t i = 0; i < piece.token_count; ++i) {
    // llama_batch has no const; it is not written.
    sequence_pointers_[i] = const_cast<llama_seq_id*>(&piece.sequences[i]);
    if (piece.outputs[i] != 0) output_rows_.push_back(static_cast<std::int32_t>(i));
  }
  llama_batch raw = {};
  raw.n_tokens = static_cast<std::int32_t>(piece.token_count);
  raw.token = const_cast<llama_token*>(piece.tokens);
  raw.pos = const_cast<llama_pos*>(piece.positions);
  raw.n_seq_id = one_each_.data();
  raw.seq_id = sequence_pointers_.data();
  raw.logits = const_cast<std::int8_t*>(reinterpret_cast<const std::int8_t*>(piece.outputs));

  const LogScope log;
  failed_ = true;  // stays so if an exception leaves the context in an unknown state
  int result = llama_decode(context_.get(), raw);
  constexpr int kNoCells = 1;
  if (result == kNoCells) {  // there are enough, but not in one run
    compact_cells(*context_);
    result = llama_decode(context_.get(), raw);
  }
  if (result != 0) return fail(error, AIOSS_E_FAILED, log.error_or("ik_llama.cpp failed"));
  failed_ = false;
  if ((options_.flags & AIOSS_SESSION_COUNT_GRAPHS) != 0) ++counters_.graphs;  // one a micro-batch
  if (aborted_) return fail(error, AIOSS_E_ABORTED, "decoding was aborted");
  if (rows_are_copied_) keep_rows();
  return AIOSS_OK;
}

void IkSession::keep_rows() {
  for (const std::int32_t index : output_rows_) {
    const float* const row = llama_get_logits_ith(context_.get(), index);
    rows_.insert(rows_.end(), row, row + vocabulary_size());
  }
}

// What an aborted call has left: nothing of it, in any of its sequences.
void IkSession::cut_back(const aioss_batch& batch) {
  for (std::uint32_t i = 0; i < batch.token_count; ++i) {
    if (i > 0 && batch.sequences[i] == batch.sequences[i - 1]) continue;
    const std::int32_t sequence = batch.sequences[i];
    llama_kv_cache_seq_rm(context_.get(), sequence, lengths_[sequence], -1);
  }
}

const float* IkSession::logits(std::uint32_t output) {
  if (failed_) return nullptr;
  if (rows_are_copied_) {
    const std::size_t width = vocabulary_size();
    return output < rows_.size() / width ? rows_.data() + output * width : nullptr;
  }
  if (output >= output_rows_.size()) return nullptr;
  const LogScope log;
  return llama_get_logits_ith(context_.get(), output_rows_[output]);
}

aioss_status IkSession::remove(std::int32_t sequence, std::int32_t from, std::int32_t to,
                               aioss_error* error) {
  bool is_empty = false;
  if (const auto s = lengths_.check_cut(sequence, from, to, is_empty, error); s != AIOSS_OK) {
    return s;
  }
  if (is_empty) return AIOSS_OK;
  const LogScope log;
  if (!llama_kv_cache_seq_rm(context_.get(), sequence, from, -1)) {
    return fail(error, AIOSS_E_UNSUPPORTED, "this model's memory cannot be cut");
  }
  lengths_[sequence] = from;
  if (holes_in_cells(*context_) > kHolesMax) compact_cells(*context_);
  return AIOSS_OK;
}

// The cells are shared until one of the two goes on.
aioss_status IkSession::copy(std::int32_t source, std::int32_t target, aioss_error* error) {
  if (failed_) return broken(error);
  if (const auto s = lengths_.check_copy(source, target, error); s != AIOSS_OK) return s;
  const LogScope log;
  llama_kv_cache_seq_cp(context_.get(), source, target, -1, -1);
  lengths_[target] = lengths_[source];
  return AIOSS_OK;
}

std::uint64_t IkSession::fingerprint() const {
  const std::string text = build_id() + model_.description;
  const std::uint64_t hash = engine::state_hash(text, 0);
  const std::uint64_t numbers[] = {options_.sequences_max,
                                   options_.cells_per_sequence,
                                   options_.batch_tokens_max,
                                   options_.micro_batch_tokens_max,
                                   options_.kv_type,
                                   llama_model_n_params(model_.model.get()),
                                   llama_model_size(model_.model.get())};
  return engine::state_hash(numbers, hash);
}

aioss_status IkSession::state_size(std::int32_t sequence, std::size_t& size, aioss_error* error) {
  if (failed_) return broken(error);
  if (const auto s = lengths_.check(sequence, error); s != AIOSS_OK) return s;
  const LogScope log;
  const std::size_t raw = llama_state_seq_get_size(context_.get(), sequence, 0);
  if (raw == 0) return fail(error, AIOSS_E_FAILED, log.error_or("cannot measure the state"));
  size = engine::kStateHeaderBytes + raw;
  return AIOSS_OK;
}

aioss_status IkSession::save(std::int32_t sequence, std::uint8_t* data, std::size_t& size,
                             aioss_error* error) {
  std::size_t needed = 0;
  if (const auto s = state_size(sequence, needed, error); s != AIOSS_OK) return s;
  if (data == nullptr || size < needed) {
    return fail(error, AIOSS_E_INVALID,
                "the state takes " + std::to_string(needed) + " bytes; there is less room");
  }
  const LogScope log;
  std::uint8_t* payload = data + engine::kStateHeaderBytes;
  const std::size_t written = llama_state_seq_get_data(
      context_.get(), payload, size - engine::kStateHeaderBytes, sequence, 0);
  if (written == 0) return fail(error, AIOSS_E_FAILED, log.error_or("cannot save the state"));
  engine::seal_state(data, {kStateMagic, fingerprint()},
                     static_cast<std::uint64_t>(lengths_[sequence]), written);
  size = engine::kStateHeaderBytes + written;
  return AIOSS_OK;
}

aioss_status IkSession::load(std::int32_t sequence, const std::uint8_t* data, std::size_t size,
                             aioss_error* error) {
  if (failed_) return broken(error);
  if (const auto s = lengths_.check(sequence, error); s != AIOSS_OK) return s;
  engine::OpenedState state;
  if (const auto status = engine::open_state(data, size, {kStateMagic, fingerprint()},
                                             options_.cells_per_sequence, state, error);
      status != AIOSS_OK) {
    return status;
  }
  const LogScope log;
  std::int32_t& length = lengths_[sequence];
  llama_kv_cache_seq_rm(context_.get(), sequence, -1, -1);
  length = 0;
  if (state.length == 0) return AIOSS_OK;
  compact_cells(*context_);  // a state wants its cells in one run
  if (llama_state_seq_set_data(context_.get(), state.payload.data(), state.payload.size(), sequence,
                               0) == 0) {
    llama_kv_cache_seq_rm(context_.get(), sequence, -1, -1);
    return fail(error, AIOSS_E_FAILED, log.error_or("ik_llama.cpp cannot load this state"));
  }
  length = static_cast<std::int32_t>(state.length);
  return AIOSS_OK;
}

}  // namespace aioss::engines::ik
