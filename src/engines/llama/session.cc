#include "engines/llama/session.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/bytes.h"
#include "engine/abi.h"
#include "engine/state_envelope.h"
#include "engines/llama/adapter.h"
#include "engines/llama/backend.h"
#include "engines/llama/invariance.h"

namespace aioss::engines::llama {
namespace {

using engine::fail;

// How long idle compute threads spin before they sleep, in units of 128 Ki pauses (ggml's scale).
// Zero would put a futex wake into every graph; ggml's own 50 burns a core for about 0.1 s after
// each.
constexpr std::uint32_t kPollLevel = 1;

constexpr std::uint64_t kStateMagic = 0x3230'6473'616C'6C61u;

ThreadPoolPointer make_pool(std::uint32_t threads) {
  ggml_threadpool_params params = ggml_threadpool_params_default(static_cast<int>(threads));
  params.poll = kPollLevel;
  return ThreadPoolPointer(ggml_threadpool_new(&params));
}

// Fewer queries than this flash attention takes one by one, which has other bits than tiles
// (patch 0005).
constexpr std::uint32_t kTiledQueriesMin = 16;

// Of the last tokens of a sequence in a call those that must be computed by themselves, so that
// they have the bits which they have if the prompt is cut before them: all that lie behind the
// grid, if they are few.
std::uint32_t short_tail(std::uint32_t tokens, std::int32_t last_position) {
  const auto tail = static_cast<std::uint32_t>(last_position + 1) % kPrefillGridTokens;
  return tail < kTiledQueriesMin && tail < tokens ? tail : 0;
}

// What a call says of one sequence: that of its token `first`, before which it has none.
class TokensOfOne final {
 public:
  TokensOfOne(const aioss_batch& batch, std::uint32_t first) {
    for (std::uint32_t i = first; i < batch.token_count; ++i) {
      if (batch.sequences[i] != batch.sequences[first]) continue;
      where_.push_back(i);
      tokens_.push_back(batch.tokens[i]);
      positions_.push_back(batch.positions[i]);
      sequences_.push_back(batch.sequences[i]);
      outputs_.push_back(batch.outputs[i]);
    }
  }
  std::uint32_t size() const { return static_cast<std::uint32_t>(where_.size()); }
  std::int32_t last_position() const { return positions_.back(); }
  // Tokens [from, to). Borrows from this object, and the adapters from the call.
  aioss_batch view(const aioss_batch& call, std::uint32_t from, std::uint32_t to) const {
    aioss_batch batch = call;
    batch.token_count = to - from;
    batch.tokens = tokens_.data() + from;
    batch.positions = positions_.data() + from;
    batch.sequences = sequences_.data() + from;
    batch.outputs = outputs_.data() + from;
    return batch;
  }
  // Which token of the call this one's token `i` is.
  std::uint32_t where(std::size_t i) const { return where_[i]; }

 private:
  std::vector<std::uint32_t> where_;
  std::vector<std::int32_t> tokens_, positions_, sequences_;
  std::vector<std::uint8_t> outputs_;
};

}  // namespace

aioss_status LlamaSession::create(LlamaModel& model, aioss_session_options options,
                                  std::unique_ptr<LlamaSession>& out, aioss_error* error) {
  if (const auto s = check_geometry(options, error); s != AIOSS_OK) return s;
  // The gateway, which may read /sys, chooses; without a choice one thread is always right.
  if (options.threads == 0) options.threads = 1;
  if (options.threads_batch == 0) options.threads_batch = options.threads;
  // Lone and accompanied decode steps take different counts in llama.cpp. One for all: never a
  // cause.
  if (model.profile != AIOSS_PROFILE_FAST) {
    options.threads = options.threads_batch = std::max(options.threads, options.threads_batch);
  }
  if (model.dry) return fail(error, AIOSS_E_INVALID, "this model was opened for a dry run");
  if (const auto s = check_kv_type(*model.model, model.profile, options.kv_type, error);
      s != AIOSS_OK) {
    return s;
  }
  if (const auto s = check_flash_attention(model.profile, options, error); s != AIOSS_OK) return s;
  const LogScope log;
  std::unique_ptr<LlamaSession> session(new LlamaSession(model, options));
  llama_context_params params = context_params(*model.model, model.profile, options);
  if (options.abort != nullptr) {
    params.abort_callback = &LlamaSession::on_abort;
    params.abort_callback_data = session.get();
  }
  if ((options.flags & AIOSS_SESSION_COUNT_GRAPHS) != 0) {
    params.cb_eval = &LlamaSession::on_node;
    params.cb_eval_user_data = session.get();
  }
  session->context_.reset(llama_init_from_model(model.model.get(), params));
  if (!session->context_) {
    const std::string message = log.error_or("llama.cpp cannot create this session");
    const bool memory = message.find("alloc") != std::string::npos;
    return fail(error, memory ? AIOSS_E_NO_MEMORY : AIOSS_E_FAILED, message);
  }
  if (!session->attach_threads()) {
    return fail(error, AIOSS_E_NO_MEMORY, "cannot start the compute threads");
  }
  out = std::move(session);
  return AIOSS_OK;
}

LlamaSession::LlamaSession(LlamaModel& model, const aioss_session_options& options)
    : model_(model), options_(options), lengths_(options.sequences_max) {
  model_.sessions.push_back(this);
}

LlamaSession::~LlamaSession() {
  std::erase(model_.sessions, this);
  const LogScope log;
  context_.reset();  // before the pools it computes with
}

bool LlamaSession::attach_threads() {
  pool_ = make_pool(options_.threads);
  if (!pool_) return false;
  if (options_.threads_batch != options_.threads) {
    pool_batch_ = make_pool(options_.threads_batch);
    if (!pool_batch_) return false;
  }
  llama_attach_threadpool(context_.get(), pool_.get(),
                          pool_batch_ ? pool_batch_.get() : pool_.get());
  return true;
}

bool LlamaSession::on_abort(void* user) {
  const auto* self = static_cast<const LlamaSession*>(user);
  return self->abortable_ && self->options_.abort(self->options_.abort_user) != 0;
}

// Asked before each node of each graph. Always answers no, so that a graph still runs in one piece.
// Every graph of a model begins with a node of the same name.
bool LlamaSession::on_node(ggml_tensor* node, bool ask, void* user) {
  auto* self = static_cast<LlamaSession*>(user);
  if (!ask) return true;
  if (self->first_node_.empty()) self->first_node_ = ggml_get_name(node);
  if (self->first_node_ == ggml_get_name(node)) ++self->counters_.graphs;
  return false;
}

std::uint32_t LlamaSession::vocabulary_size() const {
  return static_cast<std::uint32_t>(
      llama_vocab_n_tokens(llama_model_get_vocab(model_.model.get())));
}

aioss_status LlamaSession::broken(aioss_error* error) const {
  return fail(error, AIOSS_E_FAILED, "this session has failed before; close it");
}

// Exactly what the call says. llama.cpp plans its graphs anew with each change.
aioss_status LlamaSession::use_adapters(const aioss_batch& batch, aioss_error* error) {
  if (const auto s = engine::check_adapters(batch, error); s != AIOSS_OK) return s;
  std::vector<llama_adapter_lora*> adapters;
  std::vector<float> scales;
  for (std::uint32_t i = 0; i < batch.adapter_count; ++i) {
    LlamaAdapter& adapter = *adapter_of(batch.adapters[i].adapter);
    if (adapter.model != &model_) {
      return fail(error, AIOSS_E_INVALID, "an adapter of another model");
    }
    if (batch.adapters[i].scale == 0.0F) continue;  // llama.cpp leaves it out, too
    adapters.push_back(adapter.adapter.get());
    scales.push_back(batch.adapters[i].scale);
  }
  // It keeps them in a table by address, and adds them up in that order. Two are always in the
  // order in which they were given.
  constexpr std::size_t kInOrder = 2;
  if (model_.profile != AIOSS_PROFILE_FAST && adapters.size() > kInOrder) {
    return fail(error, AIOSS_E_UNSUPPORTED,
                "outside the profile fast at most two adapters can be used at once: llama.cpp adds "
                "up more of them in no fixed order");
  }
  if (adapters == adapters_ && scales == scales_) return AIOSS_OK;
  llama_set_adapters_lora(context_.get(), adapters.data(), adapters.size(), scales.data());
  adapters_ = std::move(adapters);
  scales_ = std::move(scales);
  return AIOSS_OK;
}

void LlamaSession::forget_adapter(const llama_adapter_lora* adapter) {
  if (std::find(adapters_.begin(), adapters_.end(), adapter) == adapters_.end()) return;
  llama_set_adapters_lora(context_.get(), nullptr, 0, nullptr);
  adapters_.clear();
  scales_.clear();
}

aioss_status LlamaSession::decode(const aioss_batch& batch, aioss_error* error) {
  if (failed_) return broken(error);
  if (const auto s = engine::check_batch(batch, options_, vocabulary_size(), lengths_.all(), error);
      s != AIOSS_OK) {
    return s;
  }
  const LogScope log;
  if (const auto s = use_adapters(batch, error); s != AIOSS_OK) return s;
  rows_are_copied_ = false;
  if (model_.profile == AIOSS_PROFILE_FAST) return decode_together(batch, error);
  const bool is_of_one = std::all_of(batch.sequences, batch.sequences + batch.token_count,
                                     [&](auto sequence) { return sequence == *batch.sequences; });
  const std::uint32_t last = batch.token_count - 1;
  const bool in_parts = is_of_one ? short_tail(batch.token_count, batch.positions[last]) > 0
                                  : company_would_tell(batch);
  return in_parts ? decode_in_parts(batch, is_of_one, error) : decode_together(batch, error);
}

// Whether the bits of one of several sequences would depend on the others. llama.cpp cuts a call
// into micro-batches of as many tokens of each sequence as all of them have: so a prompt beside a
// decode step would be cut where it is not cut alone. And adapters are F16 and F32, of which
// llamafile's products have other bits from two columns on, without our patch.
bool LlamaSession::company_would_tell(const aioss_batch& batch) const {
  bool several_of_one = false;
  for (std::uint32_t i = 0; i < batch.token_count; ++i) {
    // check_batch: only the first of a sequence's tokens is where the sequence ends by now.
    several_of_one = several_of_one || batch.positions[i] != lengths_[batch.sequences[i]];
  }
  return several_of_one || (!adapters_.empty() && !kHasInvariantKernels);
}

// A call for each sequence, as if it were alone, and one more for a short tail.
aioss_status LlamaSession::decode_in_parts(const aioss_batch& batch, bool abortable,
                                           aioss_error* error) {
  const std::size_t width = vocabulary_size();
  std::vector<std::size_t> row_of(batch.token_count);  // where the logits of a token belong
  std::size_t row_count = 0;
  for (std::uint32_t i = 0; i < batch.token_count; ++i) {
    row_of[i] = row_count;
    row_count += batch.outputs[i] != 0 ? 1 : 0;
  }
  std::vector<float> rows(row_count * width);
  std::vector<bool> is_done(lengths_.all().size());
  const aioss_counters before = counters_;
  for (std::uint32_t first = 0; first < batch.token_count; ++first) {
    const auto sequence = static_cast<std::size_t>(batch.sequences[first]);
    if (is_done[sequence]) continue;
    is_done[sequence] = true;
    const TokensOfOne one(batch, first);
    const std::uint32_t cut = one.size() - short_tail(one.size(), one.last_position());
    for (std::uint32_t from = 0, to = cut; from < one.size(); from = to, to = one.size()) {
      const aioss_status s = decode_together(one.view(batch, from, to), error, abortable);
      if (s != AIOSS_OK) {  // a call that failed counts in its graphs only, its parts likewise
        counters_.decode_calls = before.decode_calls;
        counters_.tokens = before.tokens;
        return s;
      }
      for (std::size_t i = 0; i < output_rows_.size(); ++i) {
        const float* const row = logits(static_cast<std::uint32_t>(i));
        const std::uint32_t token = one.where(from + static_cast<std::size_t>(output_rows_[i]));
        std::copy_n(row, width, rows.data() + row_of[token] * width);
      }
    }
  }
  counters_.decode_calls = before.decode_calls + 1;
  rows_ = std::move(rows);
  rows_are_copied_ = true;
  return AIOSS_OK;
}

aioss_status LlamaSession::decode_together(const aioss_batch& batch, aioss_error* error,
                                           bool abortable) {
  output_rows_.clear();
  one_each_.assign(batch.token_count, 1);
  sequence_pointers_.resize(batch.token_count);
  bool one_sequence = true;
  for (std::uint32_t i = 0; i < batch.token_count; ++i) {
    // llama.cpp's batch has no const; it does not write.
    sequence_pointers_[i] = const_cast<llama_seq_id*>(&batch.sequences[i]);
    one_sequence = one_sequence && batch.sequences[i] == batch.sequences[0];
    if (batch.outputs[i] != 0) output_rows_.push_back(static_cast<std::int32_t>(i));
  }
  llama_batch raw = {};
  raw.n_tokens = static_cast<std::int32_t>(batch.token_count);
  raw.token = const_cast<llama_token*>(batch.tokens);
  raw.pos = const_cast<llama_pos*>(batch.positions);
  raw.n_seq_id = one_each_.data();
  raw.seq_id = sequence_pointers_.data();
  raw.logits = const_cast<std::int8_t*>(reinterpret_cast<const std::int8_t*>(batch.outputs));

  const LogScope log;
  // An abort gives up the whole call; neighbours must not lose a step because one client left.
  abortable_ = abortable && one_sequence && batch.token_count > 1;
  first_node_.clear();
  choose_kernels(model_.profile);
  failed_ = true;  // stays so if an exception leaves llama.cpp in an unknown state
  const int result = llama_decode(context_.get(), raw);
  failed_ = false;
  abortable_ = false;
  return finish(result, batch, log.error_or("llama.cpp failed"), error);
}

aioss_status LlamaSession::finish(int result, const aioss_batch& batch, const std::string& message,
                                  aioss_error* error) {
  if (result != 0) output_rows_.clear();
  switch (result) {
    case 0:
      for (std::uint32_t i = 0; i < batch.token_count; ++i) {
        ++lengths_[batch.sequences[i]];
      }
      ++counters_.decode_calls;
      counters_.tokens += batch.token_count;
      return AIOSS_OK;
    case 1:
      return fail(error, AIOSS_E_FULL, "no free KV cells");
    case 2:
      read_back_lengths(batch);
      return fail(error, AIOSS_E_ABORTED, "decoding was aborted");
    case -1:
      return fail(error, AIOSS_E_INVALID, message);
    default:
      failed_ = true;
      return fail(error, AIOSS_E_FAILED, message);
  }
}

// After an abort llama.cpp has kept the micro-batches that were complete.
void LlamaSession::read_back_lengths(const aioss_batch& batch) {
  const llama_memory_t memory = llama_get_memory(context_.get());
  for (std::uint32_t i = 0; i < batch.token_count; ++i) {
    const std::int32_t sequence = batch.sequences[i];
    lengths_[sequence] = llama_memory_seq_pos_max(memory, sequence) + 1;
  }
}

const float* LlamaSession::logits(std::uint32_t output) {
  if (failed_) return nullptr;
  if (rows_are_copied_) {
    const std::size_t width = vocabulary_size();
    return output < rows_.size() / width ? rows_.data() + output * width : nullptr;
  }
  if (output >= output_rows_.size()) return nullptr;
  const LogScope log;
  return llama_get_logits_ith(context_.get(), output_rows_[output]);
}

aioss_status LlamaSession::remove(std::int32_t sequence, std::int32_t from, std::int32_t to,
                                  aioss_error* error) {
  bool is_empty = false;
  if (const auto s = lengths_.check_cut(sequence, from, to, is_empty, error); s != AIOSS_OK) {
    return s;
  }
  if (is_empty) return AIOSS_OK;
  const LogScope log;
  const llama_memory_t memory = llama_get_memory(context_.get());
  // A sliding-window ring forgets; what is left must still hold the window of the next position.
  const std::int32_t window = llama_model_n_swa(model_.model.get());
  if (from > 0 && window > 0 &&
      llama_memory_seq_pos_min(memory, sequence) > std::max(0, from - window)) {
    return fail(error, AIOSS_E_UNSUPPORTED,
                "the sliding window before this position is gone; remove the whole sequence");
  }
  if (!llama_memory_seq_rm(memory, sequence, from, -1)) {
    return fail(error, AIOSS_E_UNSUPPORTED, "this model's memory cannot be cut");
  }
  lengths_[sequence] = from;
  return AIOSS_OK;
}

std::uint64_t LlamaSession::fingerprint() const {
  const std::string text = build_id() + model_.description;
  const std::uint64_t hash = engine::state_hash(text, static_cast<std::uint64_t>(model_.profile));
  const bool exact = model_.profile != AIOSS_PROFILE_FAST;
  const bool is_flashless =
      flash_attention_of(model_.profile, options_) == LLAMA_FLASH_ATTN_TYPE_DISABLED;
  const std::uint64_t numbers[] = {options_.sequences_max, options_.cells_per_sequence,
                                   options_.batch_tokens_max, options_.micro_batch_tokens_max,
                                   // Where bits count they depend on it, and records say so.
                                   exact ? options_.threads_batch : 0, options_.kv_type,
                                   // Without flash attention values lie transposed.
                                   is_flashless ? 1U : 0U, llama_model_n_params(model_.model.get()),
                                   llama_model_size(model_.model.get())};
  return engine::state_hash(numbers, hash);
}

std::size_t LlamaSession::raw_size(std::int32_t sequence) const {
  return llama_state_seq_get_size_ext(context_.get(), sequence, state_flags(model_.profile));
}

aioss_status LlamaSession::copy(std::int32_t source, std::int32_t target, aioss_error* error) {
  if (failed_) return broken(error);
  if (const auto s = lengths_.check_copy(source, target, error); s != AIOSS_OK) return s;
  if (lengths_[source] == 0) return AIOSS_OK;
  // Not llama_memory_seq_cp: between streams it copies all cells, and only at the next decode, so
  // that a state read before then would silently be another's.
  const LogScope log;
  const llama_state_seq_flags flags = state_flags(model_.profile);
  Bytes state(raw_size(source));
  const std::size_t size =
      llama_state_seq_get_data_ext(context_.get(), state.data(), state.size(), source, flags);
  if (size == 0 ||
      llama_state_seq_set_data_ext(context_.get(), state.data(), size, target, flags) == 0) {
    llama_memory_seq_rm(llama_get_memory(context_.get()), target, -1, -1);
    return fail(error, AIOSS_E_FAILED, log.error_or("llama.cpp cannot copy this sequence"));
  }
  lengths_[target] = lengths_[source];
  return AIOSS_OK;
}

aioss_status LlamaSession::state_size(std::int32_t sequence, std::size_t& size,
                                      aioss_error* error) {
  if (failed_) return broken(error);
  if (const auto s = lengths_.check(sequence, error); s != AIOSS_OK) return s;
  const LogScope log;
  const std::size_t raw = raw_size(sequence);
  if (raw == 0) return fail(error, AIOSS_E_FAILED, log.error_or("cannot measure the state"));
  size = engine::kStateHeaderBytes + raw;
  return AIOSS_OK;
}

aioss_status LlamaSession::save(std::int32_t sequence, std::uint8_t* data, std::size_t& size,
                                aioss_error* error) {
  std::size_t needed = 0;
  if (const auto s = state_size(sequence, needed, error); s != AIOSS_OK) return s;
  if (data == nullptr || size < needed) {
    return fail(error, AIOSS_E_INVALID,
                "the state takes " + std::to_string(needed) + " bytes; there is less room");
  }
  const LogScope log;
  std::uint8_t* payload = data + engine::kStateHeaderBytes;
  const std::size_t written =
      llama_state_seq_get_data_ext(context_.get(), payload, size - engine::kStateHeaderBytes,
                                   sequence, state_flags(model_.profile));
  if (written == 0) return fail(error, AIOSS_E_FAILED, log.error_or("cannot save the state"));
  engine::seal_state(data, {kStateMagic, fingerprint()},
                     static_cast<std::uint64_t>(lengths_[sequence]), written);
  size = engine::kStateHeaderBytes + written;
  return AIOSS_OK;
}

aioss_status LlamaSession::load(std::int32_t sequence, const std::uint8_t* data, std::size_t size,
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
  const llama_memory_t memory = llama_get_memory(context_.get());
  std::int32_t& length = lengths_[sequence];
  llama_memory_seq_rm(memory, sequence, -1, -1);
  length = 0;
  if (state.length == 0) return AIOSS_OK;
  const std::size_t read =
      llama_state_seq_set_data_ext(context_.get(), state.payload.data(), state.payload.size(),
                                   sequence, state_flags(model_.profile));
  if (read == 0 ||
      llama_memory_seq_pos_max(memory, sequence) + 1 != static_cast<std::int64_t>(state.length)) {
    llama_memory_seq_rm(memory, sequence, -1, -1);
    return fail(error, AIOSS_E_FAILED, log.error_or("llama.cpp cannot load this state"));
  }
  length = static_cast<std::int32_t>(state.length);
  return AIOSS_OK;
}

}  // namespace aioss::engines::llama
