#include "engines/fake/fake_engine.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/abi.h"
#include "engines/fake/fake_devices.h"
#include "engines/fake/gguf_vocabulary.h"
#include "engines/fake/model.h"
#include "engines/fake/parts.h"

namespace aioss::engines::fake {
namespace {

using engine::fail;
using engine::guarded;
using engine::read_struct;
using engine::write_struct;

constexpr std::uint32_t kGridTokens = 64;
constexpr std::chrono::hours kHang{1};
constexpr std::size_t kFloodBytes = std::size_t{1} << 20;  // more than any host has a use for
constexpr std::chrono::milliseconds kSleepSlice{5};        // between two questions of abort

FakeSession* session_of(aioss_session* session) {
  return reinterpret_cast<FakeSession*>(session);
}
const FakeSession* session_of(const aioss_session* session) {
  return reinterpret_cast<const FakeSession*>(session);
}

void identity(aioss_engine_identity* out) {
  aioss_engine_identity value = {};
  value.abi_version = AIOSS_ENGINE_ABI_VERSION;
  value.name = "fake";
  value.version = "1";
  value.build_id = "fake-1";
  value.compiler = "g++ " __VERSION__;
  value.cpu_features = "";
  write_struct(out, value);
}

uint32_t profiles() {
  return (1u << AIOSS_PROFILE_FAST) | (1u << AIOSS_PROFILE_REPRODUCIBLE) |
         (1u << AIOSS_PROFILE_EVIDENCE);
}

uint32_t prefill_grid_tokens() {
  return kGridTokens;
}

constexpr std::uint32_t kStandInContext = 32'768;
constexpr std::uint64_t kStandInBytes = std::uint64_t{1} << 20;
constexpr std::uint32_t kStandInCallUs = 2'000;  // as fast as a small model

aioss_status stand_in(int fd, Script& out, aioss_error* error) {
  const Result<std::uint32_t> tokens = gguf_vocabulary(fd);
  if (!tokens) return fail(error, AIOSS_E_CORRUPT, tokens.error().message);
  out.gguf_tokens = *tokens;
  out.context_tokens = kStandInContext;
  out.weight_bytes = kStandInBytes;
  out.delay_us_per_call = kStandInCallUs;
  return AIOSS_OK;
}

aioss_status read_script(const aioss_model_options& options, Script& out, aioss_error* error) {
  if (const auto s = engine::check_model_options(options, error); s != AIOSS_OK) return s;
  if (is_gguf(options.fds[0])) return stand_in(options.fds[0], out, error);
  if (options.fd_count != 1) {
    return fail(error, AIOSS_E_INVALID, "a fake model is one file descriptor");
  }
  std::string text;
  if (const auto s = read_text(options.fds[0], text, error); s != AIOSS_OK) return s;
  Result<Script> script = Script::parse(text);
  if (!script) return fail(error, AIOSS_E_CORRUPT, script.error().message);
  out = std::move(*script);
  return AIOSS_OK;
}

// What a confined dry run may do wrong.
void scripted_plan_failure(const std::string& kind) {
  if (kind == "crash") std::abort();
  if (kind == "hang") std::this_thread::sleep_for(kHang);
  // Of the process, not of the engine: into the socket that workers report on.
  constexpr int kSocket = 3;
  const std::string junk(std::size_t{64} << 10, '\xFF');
  if (kind == "garbage" && write(kSocket, junk.data(), 64) > 0) _exit(0);
  if (kind != "flood") return;
  for (std::size_t left = kFloodBytes; left > 0;) {
    const ssize_t written = write(kSocket, junk.data(), std::min(left, junk.size()));
    if (written <= 0) break;
    left -= static_cast<std::size_t>(written);
  }
  _exit(0);
}

aioss_status plan(aioss_model* model, const aioss_session_options* options, aioss_plan* out,
                  aioss_error* error) {
  return guarded(error, [&] {
    aioss_session_options copy;
    if (model == nullptr || !read_struct(options, copy)) {
      return fail(error, AIOSS_E_INVALID, "no model, no options, or without struct_size");
    }
    if (!unwrap(model)->dry) {
      return fail(error, AIOSS_E_INVALID, "a plan wants a model opened with AIOSS_MODEL_DRY_RUN");
    }
    if (const auto s = engine::check_session_options(copy, error); s != AIOSS_OK) return s;
    const Script& script = unwrap(model)->script;
    scripted_plan_failure(script.fail_plan);
    const std::uint64_t cells = std::uint64_t{copy.sequences_max} * copy.cells_per_sequence;
    // As the real types: 16 bits for each number, or 8.5, or 4.5.
    const std::uint64_t share = copy.kv_type == AIOSS_KV_Q8_0   ? 17
                                : copy.kv_type == AIOSS_KV_Q4_0 ? 9
                                                                : 32;
    aioss_plan value = {};
    value.exact = 1;
    value.weight_bytes = script.weight_bytes;
    value.kv_bytes = cells * script.kv_bytes_per_cell * share / 32;
    value.compute_bytes = script.compute_bytes;
    value.output_bytes = std::uint64_t{copy.outputs_max} * script.vocabulary() * sizeof(float);
    value.vocabulary_bytes = script.vocabulary_bytes;
    value.overhead_bytes = script.overhead_bytes;
    plan_devices(*unwrap(model), value);
    if (!write_struct(out, value)) return fail(error, AIOSS_E_INVALID, "no room for a plan");
    return AIOSS_OK;
  });
}

aioss_status model_open(const aioss_model_options* options, aioss_model** out, aioss_error* error) {
  return guarded(error, [&] {
    aioss_model_options copy;
    if (out == nullptr || !read_struct(options, copy)) {
      return fail(error, AIOSS_E_INVALID, "no options, or without struct_size");
    }
    *out = nullptr;
    auto model = std::make_unique<FakeModel>();
    if (const auto s = read_script(copy, model->script, error); s != AIOSS_OK) return s;
    model->dry = (copy.flags & AIOSS_MODEL_DRY_RUN) != 0;
    if (const auto s = place(copy, *model, error); s != AIOSS_OK) return s;
    constexpr int kSteps = 20;
    for (int i = 0; i <= kSteps; ++i) {
      if (copy.progress != nullptr &&
          copy.progress(static_cast<float>(i) / kSteps, copy.progress_user) == 0) {
        return fail(error, AIOSS_E_ABORTED, "loading was cancelled");
      }
      if (model->dry) continue;
      std::this_thread::sleep_for(
          std::chrono::microseconds(std::int64_t{model->script.load_ms} * 1000 / (kSteps + 1)));
    }
    if (!model->dry && !model->script.fail_load.empty()) {
      return scripted_load_failure(model->script.fail_load, error);
    }
    *out = reinterpret_cast<aioss_model*>(model.release());
    return AIOSS_OK;
  });
}

void model_facts(const aioss_model* model, aioss_model_facts* out) {
  const Script& script = unwrap(model)->script;
  aioss_model_facts value = {};
  value.vocabulary_size = script.vocabulary();
  value.context_tokens_train = script.context_tokens;
  value.embedding_size = 1;
  value.layer_count = script.layers;
  value.parameter_count = script.weight_bytes;
  value.weight_bytes = script.weight_bytes;
  value.architecture = "fake";
  value.description = "scripted model";
  write_struct(out, value);
}

void model_close(aioss_model* model) {
  delete unwrap(model);
}

aioss_status session_create(aioss_model* model, const aioss_session_options* options,
                            aioss_session** out, aioss_error* error) {
  return guarded(error, [&] {
    if (model == nullptr || out == nullptr) {
      return fail(error, AIOSS_E_INVALID, "a session needs a model and a place");
    }
    *out = nullptr;
    auto session = std::make_unique<FakeSession>();
    if (!read_struct(options, session->options)) {
      return fail(error, AIOSS_E_INVALID, "no options, or without struct_size");
    }
    if (const auto s = engine::check_session_options(session->options, error); s != AIOSS_OK) {
      return s;
    }
    session->model = unwrap(model);
    if (session->model->dry) {
      return fail(error, AIOSS_E_INVALID, "this model was opened for a dry run");
    }
    ++session->model->sessions_created;
    const std::uint32_t count = session->options.sequences_max;
    session->sequences.assign(count, Sequence(session->model->script));
    *out = reinterpret_cast<aioss_session*>(session.release());
    return AIOSS_OK;
  });
}

void session_close(aioss_session* session) {
  delete session_of(session);
}

// Sleeps in slices, so that an abort is honoured soon. False if it was asked for.
bool sleep_or_abort(const FakeSession& session, std::chrono::microseconds time) {
  const bool deaf = session.model->script.sabotages("abort");
  const auto aborted = [&] {
    return !deaf && session.options.abort != nullptr &&
           session.options.abort(session.options.abort_user) != 0;
  };
  while (time.count() > 0) {
    if (aborted()) return false;
    const auto slice = std::min<std::chrono::microseconds>(time, kSleepSlice);
    std::this_thread::sleep_for(slice);
    time -= slice;
  }
  return !aborted();
}

aioss_status run_fault(Fault fault, FakeSession& session, aioss_error* error) {
  switch (fault) {
    case Fault::kNone:
      return AIOSS_OK;
    case Fault::kCrash:
      std::abort();
    case Fault::kSegv:
      std::raise(SIGSEGV);
      std::abort();
    case Fault::kExit:
      _exit(3);
    case Fault::kFail:
      break;
    case Fault::kLose:  // what a CPU cannot
      if (session.model->gpu_layers == 0) return AIOSS_OK;
      session.failed = true;
      return fail(error, AIOSS_E_FAILED, "the device was lost");
  }
  session.failed = true;
  return fail(error, AIOSS_E_FAILED, "the prompt ordered a failure");
}

// Graphs that the batch takes: as in llama.cpp, neighbours share one only if their sequence ids
// ascend without a gap.
std::uint64_t graphs_of(const aioss_batch& batch) {
  std::uint64_t graphs = 1;
  for (std::uint32_t i = 1; i < batch.token_count; ++i) {
    const std::int32_t step = batch.sequences[i] - batch.sequences[i - 1];
    if (step != 0 && step != 1) ++graphs;
  }
  return graphs;
}

// Of one sequence alone; tokens of one are neighbours in a batch.
bool is_single(const aioss_batch& batch) {
  return batch.sequences[0] == batch.sequences[batch.token_count - 1];
}

void sabotage(FakeSession& session, const aioss_batch& batch) {
  const Script& script = session.model->script;
  if (script.sabotage.empty()) return;
  for (std::uint32_t i = 0; i < batch.token_count; ++i) {
    Sequence& sequence = session.sequences[static_cast<std::size_t>(batch.sequences[i])];
    const bool single = is_single(batch);
    if (script.sabotages("neighbours") && !single) sequence.taint(1);
    if (script.sabotages("chunks") && i == 0) sequence.taint(1);
    if (script.sabotages("prefill") && batch.token_count > 1 && single) sequence.taint(1);
    if (script.sabotages("leak") && session.had_adapters && batch.adapter_count == 0) {
      sequence.taint(1);
    }
    if (script.sabotages("again")) sequence.taint(session.model->sessions_created);
    if (script.sabotages("reuse") && batch.positions[i] == 0) {
      sequence.taint(session.counters.tokens);
    }
  }
}

// Which sequences appear decides how long the call takes, and how many tokens of one are looked at:
// as on a machine where drafts do not pay, so that what a script makes slow stays slow.
std::chrono::microseconds duration_of(const FakeSession& session, const aioss_batch& batch) {
  const Script& script = session.model->script;
  std::int64_t us = script.delay_us_per_call;
  us += std::int64_t{script.delay_us_per_token} * batch.token_count;
  std::uint32_t stall_ms = 0;
  for (std::uint32_t i = 0; i < batch.token_count; ++i) {
    const auto index = static_cast<std::size_t>(batch.sequences[i]);
    stall_ms = std::max(stall_ms, session.sequences[index].stall_ms());
  }
  const auto outputs = std::count_if(batch.outputs, batch.outputs + batch.token_count,
                                     [](std::uint8_t output) { return output != 0; });
  const std::int64_t rows = is_single(batch) ? std::max<std::int64_t>(outputs, 1) : 1;
  const bool is_flash = session.options.flash_attention == AIOSS_FLASH_ON;
  const std::int64_t percent = is_flash ? script.flash_percent : 100;
  return std::chrono::microseconds((us + std::int64_t{stall_ms} * 1000) * rows * percent / 100);
}

// As engines do that were never tried with several sequences.
void crash_together(const FakeSession& session, const aioss_batch& batch) {
  const std::string& when = session.model->script.crash_together;
  if (when.empty() || is_single(batch)) return;
  const bool is_flash = session.options.flash_attention == AIOSS_FLASH_ON;
  if (when == "any" || is_flash == (when == "on")) std::abort();
}

aioss_status decode_checked(FakeSession& session, const aioss_batch& batch,
                            const Influence& influence, aioss_error* error) {
  session.row_count = 0;
  const std::uint32_t lost_after = session.model->script.device_lost_after;
  if (lost_after > 0 && session.counters.decode_calls >= lost_after) {
    session.failed = true;
    return fail(error, AIOSS_E_FAILED, "the device is lost");
  }
  for (std::uint32_t i = 0; i < batch.token_count; ++i) {
    Sequence& sequence = session.sequences[static_cast<std::size_t>(batch.sequences[i])];
    const Fault fault = sequence.push(batch.tokens[i], influence);
    if (const auto s = run_fault(fault, session, error); s != AIOSS_OK) return s;
    if (batch.outputs[i] == 0) continue;
    if (session.row_count == session.rows.size()) {
      session.rows.emplace_back(session.model->script.vocabulary());
    }
    sequence.logits(session.rows[session.row_count++].data());
  }
  session.counters.decode_calls += 1;
  session.counters.tokens += batch.token_count;
  if ((session.options.flags & AIOSS_SESSION_COUNT_GRAPHS) != 0) {
    const std::uint64_t factor = session.model->script.sabotages("graphs") ? batch.token_count : 1;
    session.counters.graphs += graphs_of(batch) * factor;
  }
  return AIOSS_OK;
}

aioss_status decode(aioss_session* handle, const aioss_batch* batch, aioss_error* error) {
  return guarded(error, [&] {
    FakeSession& session = *session_of(handle);
    if (session.failed) return fail(error, AIOSS_E_FAILED, "this session has failed; close it");
    aioss_batch copy;
    if (!read_struct(batch, copy)) {
      return fail(error, AIOSS_E_INVALID, "no batch, or without struct_size");
    }
    std::vector<std::int32_t> lengths;
    lengths.reserve(session.sequences.size());
    for (const Sequence& s : session.sequences) {
      lengths.push_back(static_cast<std::int32_t>(s.tokens().size()));
    }
    aioss_session_options limits = session.options;
    if (session.model->script.sabotages("full")) limits.cells_per_sequence *= 2;
    const std::uint32_t vocabulary = session.model->script.vocabulary();
    if (const auto s = engine::check_batch(copy, limits, vocabulary, lengths, error);
        s != AIOSS_OK) {
      return s;
    }
    Influence influence;
    if (const auto s = influence_of(session, copy, influence, error); s != AIOSS_OK) return s;
    if (session.model->script.sabotages("no_company") && !is_single(copy)) {
      return fail(error, AIOSS_E_UNSUPPORTED, "one sequence a call");
    }
    if (!sleep_or_abort(session, duration_of(session, copy))) {
      return fail(error, AIOSS_E_ABORTED, "decoding was aborted");
    }
    sabotage(session, copy);
    crash_together(session, copy);
    return decode_checked(session, copy, influence, error);
  });
}

const float* logits(aioss_session* handle, uint32_t output) {
  FakeSession& session = *session_of(handle);
  return output < session.row_count ? session.rows[output].data() : nullptr;
}

Sequence* find(FakeSession& session, int32_t sequence, aioss_error* error) {
  if (sequence >= 0 && static_cast<std::size_t>(sequence) < session.sequences.size()) {
    return &session.sequences[static_cast<std::size_t>(sequence)];
  }
  fail(error, AIOSS_E_INVALID, "there is no sequence " + std::to_string(sequence));
  return nullptr;
}

aioss_status sequence_remove(aioss_session* handle, int32_t sequence, int32_t from, int32_t to,
                             aioss_error* error) {
  return guarded(error, [&] {
    FakeSession& session = *session_of(handle);
    Sequence* s = find(session, sequence, error);
    if (s == nullptr) return AIOSS_E_INVALID;
    const auto length = static_cast<std::int32_t>(s->tokens().size());
    if (from < 0 || (to >= 0 && to < from)) {
      return fail(error, AIOSS_E_INVALID, "the range to remove is not a range");
    }
    if (to >= 0 && to < length && from < to) {
      return fail(error, AIOSS_E_UNSUPPORTED, "only the end of a sequence can be cut off");
    }
    if (session.model->script.sabotages("no_cut") && from > 0 && from < length) {
      return fail(error, AIOSS_E_UNSUPPORTED, "only a whole sequence can be removed");
    }
    if (session.model->script.sabotages("remove")) return AIOSS_OK;
    if (session.model->script.sabotages("leave") && from == 0 && length > 0) {
      for (Sequence& other : session.sequences) other.taint(1);  // who stays notices
    }
    if (from < length && from != to) s->truncate(static_cast<std::size_t>(from));
    return AIOSS_OK;
  });
}

aioss_status sequence_copy(aioss_session* handle, int32_t source, int32_t target,
                           aioss_error* error) {
  return guarded(error, [&] {
    FakeSession& session = *session_of(handle);
    Sequence* from = find(session, source, error);
    Sequence* into = find(session, target, error);
    if (from == nullptr || into == nullptr) return AIOSS_E_INVALID;
    if (!into->tokens().empty() || from == into) {
      return fail(error, AIOSS_E_INVALID, "the target of a copy must be empty");
    }
    if (session.model->script.sabotages("no_copy")) {
      return fail(error, AIOSS_E_UNSUPPORTED, "no copies");
    }
    *into = *from;
    if (session.model->script.sabotages("copy")) into->taint(1);
    return AIOSS_OK;
  });
}

aioss_status sequence_state_size(aioss_session* handle, int32_t sequence, size_t* size,
                                 aioss_error* error) {
  return guarded(error, [&] {
    const Sequence* s = find(*session_of(handle), sequence, error);
    if (s == nullptr || size == nullptr) return fail(error, AIOSS_E_INVALID, "no such sequence");
    *size = state_of(*session_of(handle), *s).size();
    return AIOSS_OK;
  });
}

aioss_status sequence_save(aioss_session* handle, int32_t sequence, uint8_t* data, size_t* size,
                           aioss_error* error) {
  return guarded(error, [&] {
    const Sequence* s = find(*session_of(handle), sequence, error);
    if (s == nullptr || size == nullptr || data == nullptr) {
      return fail(error, AIOSS_E_INVALID, "no such sequence, or no room for its state");
    }
    const std::string state = state_of(*session_of(handle), *s);
    if (*size < state.size()) {
      return fail(error, AIOSS_E_INVALID, "not enough room for the state");
    }
    std::memcpy(data, state.data(), state.size());
    *size = state.size();
    return AIOSS_OK;
  });
}

aioss_status sequence_load(aioss_session* handle, int32_t sequence, const uint8_t* data,
                           size_t size, aioss_error* error) {
  return guarded(error, [&] {
    FakeSession& session = *session_of(handle);
    Sequence* s = find(session, sequence, error);
    if (s == nullptr || data == nullptr) {
      return fail(error, AIOSS_E_INVALID, "no such sequence, or no state");
    }
    if (!load_state(session, {reinterpret_cast<const char*>(data), size}, *s)) {
      return fail(error, AIOSS_E_INVALID, "these bytes are not a state for this session");
    }
    if (session.model->script.sabotages("load")) s->taint(1);
    return AIOSS_OK;
  });
}

void counters(const aioss_session* handle, aioss_counters* out) {
  write_struct(out, session_of(handle)->counters);
}

}  // namespace

const aioss_engine* entry() {
  static constexpr aioss_engine kEngine = {
      .struct_size = sizeof(aioss_engine),
      .abi_version = AIOSS_ENGINE_ABI_VERSION,
      .identity = identity,
      .profiles = profiles,
      .prefill_grid_tokens = prefill_grid_tokens,
      .device_count = device_count,
      .device = device,
      .plan = plan,
      .model_open = model_open,
      .model_facts = model_facts,
      .model_close = model_close,
      .session_create = session_create,
      .session_close = session_close,
      .decode = decode,
      .logits = logits,
      .sequence_remove = sequence_remove,
      .sequence_copy = sequence_copy,
      .sequence_state_size = sequence_state_size,
      .sequence_save = sequence_save,
      .sequence_load = sequence_load,
      .counters = counters,
      .adapter_open = adapter_open,
      .adapter_facts = adapter_facts,
      .adapter_close = adapter_close,
  };
  return &kEngine;
}

}  // namespace aioss::engines::fake
