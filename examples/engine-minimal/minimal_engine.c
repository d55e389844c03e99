/*
 * The smallest engine that keeps every promise of aioss/engine.h: a parrot. It reads of a GGUF file
 * how many tokens the vocabulary has, and of a text what followed the last two tokens when they
 * stood there before; that token gets the highest logit, the others get noise that depends on the
 * text alone. Behind "red green blue red green" it says " blue red". Instead of `parrot` a real
 * engine has weights, kernels and a KV cache: everything around it here is what aioss asks of any
 * engine.
 *
 * Needs a C11 compiler and the one header. docs/engines.md tells how to build, check, sign and
 * install it.
 */
#include <float.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aioss/engine.h"
#include "gguf_head.h"

/* ---- at the edge of the ABI ----------------------------------------------------------------- */

static aioss_status fail(aioss_error* error, aioss_status status, const char* format, ...) {
  if (error == NULL) return status;
  va_list arguments;
  va_start(arguments, format);
  (void)vsnprintf(error->message, sizeof error->message, format, arguments);
  va_end(arguments);
  return status;
}

/* Structs grow at their end. One that is read may be of an older or a newer host: what it does not
 * have is zero here, what we do not know is not read. False: there is none, or it has no size. */
static bool read_struct(void* to, size_t known, const void* from) {
  uint32_t size = 0;
  memset(to, 0, known);
  if (from == NULL) return false;
  memcpy(&size, from, sizeof size);
  if (size < sizeof size) return false;
  memcpy(to, from, size < known ? size : known);
  memcpy(to, &(uint32_t){(uint32_t)known}, sizeof(uint32_t));
  return true;
}

/* Likewise one that is filled: no more than there is room for, and its size says how much it was.
 */
static bool write_struct(void* to, const void* from, size_t known) {
  uint32_t size = 0;
  if (to == NULL) return false;
  memcpy(&size, to, sizeof size);
  if (size < sizeof size) return false;
  if (size > known) size = (uint32_t)known;
  memcpy(to, from, size);
  memcpy(to, &size, sizeof size);
  return true;
}

/* ---- identity ------------------------------------------------------------------------------- */

static void identity(aioss_engine_identity* out) {
  aioss_engine_identity value = {0};
  value.abi_version = AIOSS_ENGINE_ABI_VERSION;
  value.name = "minimal"; /* as it is installed: aioss compares them */
  value.version = "1.0.0";
  value.build_id = "example";
  value.compiler = __VERSION__;
  value.cpu_features = "";
  (void)write_struct(out, &value, sizeof value);
}

/* Its logits depend on a sequence's own tokens alone, whoever else is computed and in whatever
 * pieces: so it keeps all profiles. Promise only what the conformance suite finds to be true. */
static uint32_t profiles(void) {
  return 1u << AIOSS_PROFILE_FAST | 1u << AIOSS_PROFILE_REPRODUCIBLE | 1u << AIOSS_PROFILE_EVIDENCE;
}

static uint32_t prefill_grid_tokens(void) {
  return 1;
}

static uint32_t device_count(void) {
  return 1;
}

static aioss_status device(uint32_t index, aioss_device* out, aioss_error* error) {
  if (index != 0) return fail(error, AIOSS_E_INVALID, "there is no device %u", (unsigned)index);
  aioss_device value = {0};
  value.kind = AIOSS_DEVICE_CPU;
  memcpy(value.name, "CPU", sizeof "CPU");
  memcpy(value.backend, "CPU", sizeof "CPU");
  if (!write_struct(out, &value, sizeof value)) {
    return fail(error, AIOSS_E_INVALID, "no room for a device");
  }
  return AIOSS_OK;
}

/* ---- models --------------------------------------------------------------------------------- */

struct aioss_model {
  bool dry;
  gguf_head head;
};

static aioss_status read_head(int fd, aioss_model* model, aioss_error* error) {
  const char* reason = "";
  const aioss_status status = gguf_read_head(fd, &model->head, &reason);
  return status == AIOSS_OK ? AIOSS_OK : fail(error, status, "%s", reason);
}

static void model_close(aioss_model* model) {
  free(model);
}

/* A host may name our one device, or none; what it says of shares has to make sense as well. */
static aioss_status check_placement(const aioss_model_options* o, aioss_error* error) {
  if (o->device_count == 0) return AIOSS_OK;
  if (o->devices == NULL || o->device_count > AIOSS_DEVICES_MAX || o->gpu_layers < -1) {
    return fail(error, AIOSS_E_INVALID, "%u devices and %d layers: out of range",
                (unsigned)o->device_count, (int)o->gpu_layers);
  }
  double shares = 0;
  for (uint32_t i = 0; i < o->device_count; ++i) {
    if (o->devices[i] >= device_count()) {
      return fail(error, AIOSS_E_INVALID, "there is no device %u", (unsigned)o->devices[i]);
    }
    for (uint32_t before = 0; before < i; ++before) {
      if (o->devices[before] == o->devices[i]) {
        return fail(error, AIOSS_E_INVALID, "a device is named twice");
      }
    }
    if (o->splits == NULL) continue;
    if (!(o->splits[i] >= 0 && o->splits[i] <= FLT_MAX)) { /* nor is it no number */
      return fail(error, AIOSS_E_INVALID, "the share of a device is a number from 0 on");
    }
    shares += (double)o->splits[i];
  }
  if (o->splits != NULL && shares <= 0) {
    return fail(error, AIOSS_E_INVALID, "no device has a share");
  }
  return AIOSS_OK;
}

static aioss_status model_open(const aioss_model_options* given, aioss_model** out,
                               aioss_error* error) {
  aioss_model_options options;
  if (out != NULL) *out = NULL;
  if (out == NULL || !read_struct(&options, sizeof options, given)) {
    return fail(error, AIOSS_E_INVALID, "no options, or without struct_size");
  }
  if (options.fds == NULL || options.fd_count == 0) {
    return fail(error, AIOSS_E_INVALID, "a model needs a file");
  }
  if (options.profile > AIOSS_PROFILE_EVIDENCE || (options.flags & ~AIOSS_MODEL_DRY_RUN) != 0) {
    return fail(error, AIOSS_E_INVALID, "a profile or flag that this engine does not know");
  }
  const aioss_status placed = check_placement(&options, error);
  if (placed != AIOSS_OK) return placed;
  aioss_model* const model = calloc(1, sizeof *model);
  if (model == NULL) return fail(error, AIOSS_E_NO_MEMORY, "not enough memory");
  model->dry = (options.flags & AIOSS_MODEL_DRY_RUN) != 0;
  aioss_status status = read_head(options.fds[0], model, error); /* a split one's first part */
  if (status == AIOSS_OK && options.progress != NULL &&
      options.progress(1.0f, options.progress_user) == 0) {
    status = fail(error, AIOSS_E_ABORTED, "loading was cancelled");
  }
  if (status != AIOSS_OK) {
    model_close(model);
    return status;
  }
  *out = model;
  return AIOSS_OK;
}

static void model_facts(const aioss_model* model, aioss_model_facts* out) {
  aioss_model_facts value = {0};
  value.vocabulary_size = model->head.vocabulary_size;
  value.context_tokens_train = model->head.context_tokens;
  value.architecture = model->head.architecture;
  value.description = "a vocabulary for a parrot";
  (void)write_struct(out, &value, sizeof value);
}

/* ---- sessions ------------------------------------------------------------------------------- */

/* What a sequence holds. A real engine has keys and values of each token here. */
typedef struct sequence {
  int32_t* tokens; /* cells_per_sequence of them */
  uint32_t length;
} sequence;

struct aioss_session {
  aioss_session_options options;
  uint32_t vocabulary_size;
  sequence* sequences;
  int32_t* cells;    /* of all sequences */
  uint32_t* lengths; /* while a batch is checked */
  float* rows;       /* outputs_max rows of logits */
  uint32_t row_count;
  aioss_counters counters;
};

/* Refuses what no host may ask for, and fills in what it leaves to us. */
static aioss_status check_options(aioss_session_options* o, aioss_error* error) {
  const uint64_t cells = (uint64_t)o->sequences_max * o->cells_per_sequence;
  if (o->outputs_max == 0) o->outputs_max = o->sequences_max;
  const bool sane =
      o->sequences_max > 0 && o->sequences_max <= AIOSS_SEQUENCES_MAX &&
      o->cells_per_sequence > 0 && o->cells_per_sequence <= AIOSS_CELLS_PER_SEQUENCE_MAX &&
      cells <= AIOSS_CELLS_TOTAL_MAX && o->batch_tokens_max >= o->sequences_max &&
      o->batch_tokens_max <= AIOSS_BATCH_TOKENS_MAX && o->outputs_max <= o->batch_tokens_max &&
      o->threads <= AIOSS_THREADS_MAX && o->threads_batch <= AIOSS_THREADS_MAX &&
      o->kv_type <= AIOSS_KV_Q4_0 && o->flash_attention <= AIOSS_FLASH_OFF &&
      (o->flags & ~AIOSS_SESSION_COUNT_GRAPHS) == 0;
  if (sane) return AIOSS_OK;
  return fail(error, AIOSS_E_INVALID,
              "%u sequences of %u cells, %u tokens and %u outputs in a call: out of range",
              (unsigned)o->sequences_max, (unsigned)o->cells_per_sequence,
              (unsigned)o->batch_tokens_max, (unsigned)o->outputs_max);
}

static uint64_t kv_bytes(const aioss_session_options* o) {
  return (uint64_t)o->sequences_max * o->cells_per_sequence * sizeof(int32_t);
}

static uint64_t output_bytes(const aioss_model* model, const aioss_session_options* o) {
  return (uint64_t)o->outputs_max * model->head.vocabulary_size * sizeof(float);
}

static aioss_status plan(aioss_model* model, const aioss_session_options* given, aioss_plan* out,
                         aioss_error* error) {
  aioss_session_options options;
  if (model == NULL || !model->dry || !read_struct(&options, sizeof options, given)) {
    return fail(error, AIOSS_E_INVALID, "a plan wants a model of a dry run, and options");
  }
  const aioss_status status = check_options(&options, error);
  if (status != AIOSS_OK) return status;
  aioss_plan value = {0};
  value.exact = 1;
  value.kv_bytes = kv_bytes(&options);
  value.output_bytes = output_bytes(model, &options);
  value.overhead_bytes = 1u << 20; /* of this library and its small tables */
  if (!write_struct(out, &value, sizeof value)) {
    return fail(error, AIOSS_E_INVALID, "no room for a plan");
  }
  return AIOSS_OK;
}

static void session_close(aioss_session* session) {
  if (session == NULL) return;
  free(session->sequences);
  free(session->cells);
  free(session->lengths);
  free(session->rows);
  free(session);
}

/* Taken here, so that a machine that has not enough says so now. An engine may leave pages of what
 * it has reserved and planned to be touched later, as calloc() alone does. */
static void* committed(uint64_t bytes) {
  void* const memory = bytes <= SIZE_MAX ? malloc((size_t)bytes) : NULL;
  if (memory != NULL) memset(memory, 0, (size_t)bytes);
  return memory;
}

static aioss_status session_create(aioss_model* model, const aioss_session_options* given,
                                   aioss_session** out, aioss_error* error) {
  aioss_session_options options;
  if (out != NULL) *out = NULL;
  if (model == NULL || model->dry || out == NULL || !read_struct(&options, sizeof options, given)) {
    return fail(error, AIOSS_E_INVALID, "a session wants a model with its weights, and options");
  }
  const aioss_status status = check_options(&options, error);
  if (status != AIOSS_OK) return status;
  aioss_session* const session = calloc(1, sizeof *session);
  if (session == NULL) return fail(error, AIOSS_E_NO_MEMORY, "not enough memory");
  session->options = options;
  session->vocabulary_size = model->head.vocabulary_size;
  session->sequences = calloc(options.sequences_max, sizeof *session->sequences);
  session->lengths = calloc(options.sequences_max, sizeof *session->lengths);
  session->cells = committed(kv_bytes(&options));
  session->rows = committed(output_bytes(model, &options));
  if (session->sequences == NULL || session->lengths == NULL || session->cells == NULL ||
      session->rows == NULL) {
    session_close(session);
    return fail(error, AIOSS_E_NO_MEMORY, "not enough memory for a session");
  }
  for (uint32_t i = 0; i < options.sequences_max; ++i) {
    session->sequences[i].tokens = session->cells + (size_t)i * options.cells_per_sequence;
  }
  *out = session;
  return AIOSS_OK;
}

/* ---- computing ------------------------------------------------------------------------------ */

static uint64_t mix(uint64_t x) { /* splitmix64's */
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

/* The token that followed when the last tokens stood there before; its first if they never did. */
static int32_t parrot(const int32_t* tokens, uint32_t length) {
  for (uint32_t alike = 2; alike > 0; --alike) {
    for (uint32_t end = length - 1; end >= alike; --end) { /* of an earlier place */
      const size_t bytes = alike * sizeof *tokens;
      if (memcmp(tokens + end - alike, tokens + length - alike, bytes) == 0) {
        return tokens[end];
      }
    }
  }
  return tokens[0];
}

/* Of the sequence's first `length` tokens. */
static void compute_row(const aioss_session* session, const sequence* of, uint32_t length,
                        float* row) {
  uint64_t seed = 0;
  for (uint32_t i = 0; i < length; ++i) seed = mix(seed ^ (uint64_t)(uint32_t)of->tokens[i]);
  for (uint32_t i = 0; i < session->vocabulary_size; ++i) {
    row[i] = (float)(mix(seed + i) >> 40) / (float)(1u << 24);
  }
  row[parrot(of->tokens, length)] = 20.0f;
}

/* Everything is checked before anything is changed: INVALID and FULL leave the session as it was.
 */
static aioss_status check_batch(const aioss_session* session, const aioss_batch* batch,
                                aioss_error* error) {
  const aioss_session_options* const options = &session->options;
  if (batch->tokens == NULL || batch->positions == NULL || batch->sequences == NULL ||
      batch->outputs == NULL || batch->token_count == 0 ||
      batch->token_count > options->batch_tokens_max) {
    return fail(error, AIOSS_E_INVALID, "a batch without tokens, or with too many");
  }
  if (batch->adapter_count != 0) {
    return fail(error, AIOSS_E_INVALID, "this engine opens no adapters, so there are none");
  }
  for (uint32_t i = 0; i < options->sequences_max; ++i) {
    session->lengths[i] = session->sequences[i].length;
  }
  uint32_t outputs = 0;
  bool full = false;
  for (uint32_t i = 0; i < batch->token_count; ++i) {
    const int32_t which = batch->sequences[i], token = batch->tokens[i];
    if (which < 0 || (uint32_t)which >= options->sequences_max) {
      return fail(error, AIOSS_E_INVALID, "there is no sequence %d", (int)which);
    }
    if (token < 0 || (uint32_t)token >= session->vocabulary_size) {
      return fail(error, AIOSS_E_INVALID, "there is no token %d", (int)token);
    }
    if (batch->positions[i] != (int32_t)session->lengths[which]) {
      return fail(error, AIOSS_E_INVALID, "sequence %d goes on at position %u", (int)which,
                  (unsigned)session->lengths[which]);
    }
    full = full || ++session->lengths[which] > options->cells_per_sequence;
    outputs += batch->outputs[i] != 0;
  }
  if (outputs > options->outputs_max) {
    return fail(error, AIOSS_E_INVALID, "%u outputs are more than outputs_max", (unsigned)outputs);
  }
  if (full) return fail(error, AIOSS_E_FULL, "a sequence would outgrow its cells");
  return AIOSS_OK;
}

/* Only where it costs nobody else a step: in calls with several tokens of one sequence. */
static bool asks_for_abort(const aioss_session* session, const aioss_batch* batch) {
  if (session->options.abort == NULL || batch->token_count < 2) return false;
  for (uint32_t i = 1; i < batch->token_count; ++i) {
    if (batch->sequences[i] != batch->sequences[0]) return false;
  }
  return true;
}

static aioss_status decode(aioss_session* session, const aioss_batch* given, aioss_error* error) {
  aioss_batch batch;
  if (!read_struct(&batch, sizeof batch, given)) {
    return fail(error, AIOSS_E_INVALID, "no batch, or without struct_size");
  }
  const aioss_status status = check_batch(session, &batch, error);
  if (status != AIOSS_OK) return status;
  const bool asks = asks_for_abort(session, &batch);
  session->row_count = 0;
  for (uint32_t i = 0; i < batch.token_count; ++i) {
    if (asks && session->options.abort(session->options.abort_user) != 0) {
      session->row_count = 0;
      return fail(error, AIOSS_E_ABORTED, "the call was aborted");
    }
    sequence* const of = &session->sequences[batch.sequences[i]];
    of->tokens[of->length++] = batch.tokens[i];
    if (batch.outputs[i] == 0) continue;
    float* const row = session->rows + (size_t)session->row_count * session->vocabulary_size;
    compute_row(session, of, of->length, row);
    ++session->row_count;
  }
  ++session->counters.decode_calls;
  ++session->counters.graphs;
  session->counters.tokens += batch.token_count;
  return AIOSS_OK;
}

static const float* logits(aioss_session* session, uint32_t output) {
  if (output >= session->row_count) return NULL;
  return session->rows + (size_t)output * session->vocabulary_size;
}

static void counters(const aioss_session* session, aioss_counters* out) {
  (void)write_struct(out, &session->counters, sizeof session->counters);
}

/* ---- sequences ------------------------------------------------------------------------------ */

static sequence* find(aioss_session* session, int32_t number, aioss_error* error) {
  if (number >= 0 && (uint32_t)number < session->options.sequences_max) {
    return &session->sequences[number];
  }
  (void)fail(error, AIOSS_E_INVALID, "there is no sequence %d", (int)number);
  return NULL;
}

static aioss_status sequence_remove(aioss_session* session, int32_t number, int32_t from,
                                    int32_t to, aioss_error* error) {
  sequence* const of = find(session, number, error);
  if (of == NULL) return AIOSS_E_INVALID;
  if (from < 0 || (to >= 0 && to < from)) {
    return fail(error, AIOSS_E_INVALID, "no range: %d to %d", (int)from, (int)to);
  }
  const uint32_t end = to < 0 || (uint32_t)to > of->length ? of->length : (uint32_t)to;
  if ((uint32_t)from >= end) return AIOSS_OK;
  if (end < of->length) {
    return fail(error, AIOSS_E_UNSUPPORTED, "cells are cut off at the end only");
  }
  of->length = (uint32_t)from;
  return AIOSS_OK;
}

static aioss_status sequence_copy(aioss_session* session, int32_t source, int32_t target,
                                  aioss_error* error) {
  sequence* const from = find(session, source, error);
  sequence* const to = find(session, target, error);
  if (from == NULL || to == NULL) return AIOSS_E_INVALID;
  if (from == to || to->length != 0) {
    return fail(error, AIOSS_E_INVALID, "a copy goes to another sequence, which is empty");
  }
  memcpy(to->tokens, from->tokens, from->length * sizeof *from->tokens);
  to->length = from->length;
  return AIOSS_OK;
}

/* A state: this head, then the tokens. */
typedef struct state_head {
  char kind[8];
  uint32_t vocabulary_size, sequences_max, cells_per_sequence, batch_tokens_max;
  uint64_t length;
  uint64_t checksum; /* of the tokens: damage is found; whether it is authentic is the host's */
} state_head;

static uint64_t checksum(const uint8_t* data, size_t size) {
  uint64_t sum = 0xCBF29CE484222325u; /* FNV-1a */
  for (size_t i = 0; i < size; ++i) sum = (sum ^ data[i]) * 0x100000001B3u;
  return sum;
}

static state_head head_of(const aioss_session* session) {
  state_head head = {.kind = "parrot1"};
  head.vocabulary_size = session->vocabulary_size;
  head.sequences_max = session->options.sequences_max;
  head.cells_per_sequence = session->options.cells_per_sequence;
  head.batch_tokens_max = session->options.batch_tokens_max;
  return head;
}

static aioss_status sequence_state_size(aioss_session* session, int32_t number, size_t* size,
                                        aioss_error* error) {
  const sequence* const of = find(session, number, error);
  if (of == NULL || size == NULL) return AIOSS_E_INVALID;
  *size = sizeof(state_head) + of->length * sizeof *of->tokens;
  return AIOSS_OK;
}

static aioss_status sequence_save(aioss_session* session, int32_t number, uint8_t* data,
                                  size_t* size, aioss_error* error) {
  const sequence* const of = find(session, number, error);
  if (of == NULL || size == NULL) return AIOSS_E_INVALID;
  const size_t bytes = of->length * sizeof *of->tokens;
  if (data == NULL || *size < sizeof(state_head) + bytes) {
    return fail(error, AIOSS_E_INVALID, "a state needs room for %zu bytes",
                sizeof(state_head) + bytes);
  }
  state_head head = head_of(session);
  head.length = of->length;
  head.checksum = checksum((const uint8_t*)of->tokens, bytes);
  memcpy(data, &head, sizeof head);
  memcpy(data + sizeof head, of->tokens, bytes);
  *size = sizeof head + bytes;
  return AIOSS_OK;
}

static bool are_known(const aioss_session* session, const uint8_t* data, uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) {
    int32_t token;
    memcpy(&token, data + i * sizeof token, sizeof token);
    if (token < 0 || (uint32_t)token >= session->vocabulary_size) return false;
  }
  return true;
}

static aioss_status sequence_load(aioss_session* session, int32_t number, const uint8_t* data,
                                  size_t size, aioss_error* error) {
  sequence* const of = find(session, number, error);
  if (of == NULL) return AIOSS_E_INVALID;
  state_head head, own = head_of(session);
  if (data == NULL || size < sizeof head) {
    return fail(error, AIOSS_E_INVALID, "this is no state of a sequence");
  }
  memcpy(&head, data, sizeof head);
  own.length = head.length;
  own.checksum = head.checksum;
  const bool fits = memcmp(&head, &own, sizeof own) == 0 &&
                    head.length <= session->options.cells_per_sequence &&
                    size == sizeof head + head.length * sizeof *of->tokens;
  if (!fits || checksum(data + sizeof head, size - sizeof head) != head.checksum ||
      !are_known(session, data + sizeof head, head.length)) {
    return fail(error, AIOSS_E_INVALID, "a state of another session, or a damaged one");
  }
  memcpy(of->tokens, data + sizeof head, size - sizeof head);
  of->length = (uint32_t)head.length;
  return AIOSS_OK;
}

/* ---- the table ------------------------------------------------------------------------------ */

/* The one symbol that aioss looks for. Everything else is static: build with -fvisibility=hidden
 * what is not. The optional calls for adapters are left out, so they are NULL. */
__attribute__((visibility("default"))) const aioss_engine* aioss_engine_entry(void) {
  static const aioss_engine engine = {
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
  };
  return &engine;
}
