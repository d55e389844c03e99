/*
 * Compiled as C11 with -pedantic -Werror: include/aioss/engine.h is a C header. Uses every struct
 * and every function of the table the way a plugin would, and pins the sizes and offsets of version
 * 0 on 64-bit machines, so that nobody changes the layout without noticing.
 */
#include "aioss/engine.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

static int failures = 0;

static void expect(int condition, const char* what) {
  if (!condition) {
    (void)fprintf(stderr, "failed: %s\n", what);
    ++failures;
  }
}

static const float row[4] = {0.0f, 1.0f, 2.0f, 3.0f};

static void identity(aioss_engine_identity* out) {
  out->abi_version = AIOSS_ENGINE_ABI_VERSION;
  out->name = "c";
  out->version = "1";
  out->build_id = "test";
  out->compiler = "";
  out->cpu_features = "";
}
static uint32_t profiles(void) {
  return 1u << AIOSS_PROFILE_FAST;
}
static uint32_t grid(void) {
  return 64;
}
static uint32_t device_count(void) {
  return 1;
}
static aioss_status device(uint32_t index, aioss_device* out, aioss_error* error) {
  if (index != 0) {
    (void)snprintf(error->message, sizeof error->message, "no device %u", (unsigned)index);
    return AIOSS_E_INVALID;
  }
  out->kind = AIOSS_DEVICE_CPU;
  out->bytes_total = out->bytes_free = 1;
  return AIOSS_OK;
}
static aioss_status plan(aioss_model* model, const aioss_session_options* session, aioss_plan* out,
                         aioss_error* error) {
  (void)model;
  (void)error;
  out->exact = 1;
  out->kv_bytes = (uint64_t)session->sequences_max * session->cells_per_sequence;
  return AIOSS_OK;
}
static aioss_status model_open(const aioss_model_options* options, aioss_model** out,
                               aioss_error* error) {
  (void)error;
  if (options->progress != NULL && options->progress(1.0f, options->progress_user) == 0) {
    return AIOSS_E_ABORTED;
  }
  *out = NULL;
  return AIOSS_OK;
}
static void model_facts(const aioss_model* model, aioss_model_facts* out) {
  (void)model;
  out->vocabulary_size = 4;
}
static void model_close(aioss_model* model) {
  (void)model;
}
static aioss_status session_create(aioss_model* model, const aioss_session_options* options,
                                   aioss_session** out, aioss_error* error) {
  (void)model;
  (void)error;
  *out = NULL;
  return options->abort != NULL && options->abort(options->abort_user) ? AIOSS_E_ABORTED : AIOSS_OK;
}
static void session_close(aioss_session* session) {
  (void)session;
}
static aioss_status decode(aioss_session* session, const aioss_batch* batch, aioss_error* error) {
  (void)session;
  (void)error;
  return batch->tokens[0] == 7 && batch->positions[0] == 0 && batch->sequences[0] == 0 &&
                 batch->outputs[0] == 1
             ? AIOSS_OK
             : AIOSS_E_INVALID;
}
static const float* logits(aioss_session* session, uint32_t output) {
  (void)session;
  return output == 0 ? row : NULL;
}
static aioss_status sequence_remove(aioss_session* session, int32_t sequence, int32_t from,
                                    int32_t to, aioss_error* error) {
  (void)session, (void)sequence, (void)from, (void)to, (void)error;
  return AIOSS_OK;
}
static aioss_status sequence_copy(aioss_session* session, int32_t source, int32_t target,
                                  aioss_error* error) {
  (void)session, (void)source, (void)target, (void)error;
  return AIOSS_E_UNSUPPORTED;
}
static aioss_status state_size(aioss_session* session, int32_t sequence, size_t* size,
                               aioss_error* error) {
  (void)session, (void)sequence, (void)error;
  *size = 1;
  return AIOSS_OK;
}
static aioss_status save(aioss_session* session, int32_t sequence, uint8_t* data, size_t* size,
                         aioss_error* error) {
  (void)session, (void)sequence, (void)error;
  data[0] = 42;
  *size = 1;
  return AIOSS_OK;
}
static aioss_status load(aioss_session* session, int32_t sequence, const uint8_t* data, size_t size,
                         aioss_error* error) {
  (void)session, (void)sequence, (void)error;
  return size == 1 && data[0] == 42 ? AIOSS_OK : AIOSS_E_INVALID;
}
static void counters(const aioss_session* session, aioss_counters* out) {
  (void)session;
  out->decode_calls = out->graphs = out->tokens = 1;
}

static const aioss_engine engine = {sizeof(aioss_engine),
                                    AIOSS_ENGINE_ABI_VERSION,
                                    identity,
                                    profiles,
                                    grid,
                                    device_count,
                                    device,
                                    plan,
                                    model_open,
                                    model_facts,
                                    model_close,
                                    session_create,
                                    session_close,
                                    decode,
                                    logits,
                                    sequence_remove,
                                    sequence_copy,
                                    state_size,
                                    save,
                                    load,
                                    counters,
                                    NULL, /* this one knows no adapters */
                                    NULL,
                                    NULL};

/* What a plugin exports, under the name in AIOSS_ENGINE_ENTRY_SYMBOL. */
const aioss_engine* aioss_engine_entry(void);
const aioss_engine* aioss_engine_entry(void) {
  return &engine;
}

static int keep_going(float fraction, void* user) {
  *(float*)user = fraction;
  return 1;
}
static int never(void* user) {
  (void)user;
  return 0;
}

static void check_layout(void) {
  if (sizeof(void*) != 8) return;
  expect(sizeof(aioss_error) == 512, "size of aioss_error");
  expect(sizeof(aioss_engine_identity) == 48, "size of aioss_engine_identity");
  expect(sizeof(aioss_device) == 248, "size of aioss_device");
  expect(sizeof(aioss_model_options) == 72, "size of aioss_model_options");
  expect(sizeof(aioss_plan_device) == 32, "size of aioss_plan_device");
  expect(offsetof(aioss_model_options, devices) == 40, "offset of devices");
  expect(sizeof(aioss_model_facts) == 56, "size of aioss_model_facts");
  expect(sizeof(aioss_session_options) == 64, "size of aioss_session_options");
  expect(sizeof(aioss_plan) == 64 + AIOSS_DEVICES_MAX * 32, "size of aioss_plan");
  expect(offsetof(aioss_plan, devices) == 64, "offset of the plan's devices");
  expect(sizeof(aioss_batch) == 56, "size of aioss_batch");
  expect(offsetof(aioss_batch, adapters) == 40, "offset of adapters");
  expect(sizeof(aioss_adapter_options) == 16, "size of aioss_adapter_options");
  expect(sizeof(aioss_adapter_facts) == 48, "size of aioss_adapter_facts");
  expect(sizeof(aioss_adapter_use) == 16, "size of aioss_adapter_use");
  expect(sizeof(aioss_counters) == 32, "size of aioss_counters");
  expect(sizeof(aioss_engine) == 8 + 22 * sizeof(void*), "size of aioss_engine");
  expect(offsetof(aioss_engine, adapter_open) == 8 + 19 * sizeof(void*), "offset of adapters");
  expect(offsetof(aioss_engine, decode) == 8 + 11 * sizeof(void*), "offset of decode");
  expect(offsetof(aioss_session_options, abort) == 40, "offset of abort");
  expect(offsetof(aioss_session_options, kv_type) == 36, "offset of kv_type");
  expect(offsetof(aioss_plan, weight_bytes) == 8, "offset of weight_bytes");
}

static void check_session(const aioss_engine* e, aioss_model* model) {
  aioss_error error = {{0}};
  aioss_session_options options = {0};
  options.struct_size = sizeof options;
  options.sequences_max = 2;
  options.cells_per_sequence = 8;
  options.batch_tokens_max = 4;
  options.flags = AIOSS_SESSION_COUNT_GRAPHS;
  options.abort = never;
  aioss_session* session = NULL;
  expect(e->session_create(model, &options, &session, &error) == AIOSS_OK, "session_create");
  const int32_t tokens[1] = {7}, positions[1] = {0}, sequences[1] = {0};
  const uint8_t outputs[1] = {1};
  aioss_batch batch = {0};
  batch.struct_size = sizeof batch;
  batch.token_count = 1;
  batch.tokens = tokens;
  batch.positions = positions;
  batch.sequences = sequences;
  batch.outputs = outputs;
  expect(e->decode(session, &batch, &error) == AIOSS_OK, "decode");
  expect(e->logits(session, 0)[3] > 2.5f && e->logits(session, 1) == NULL, "logits");
  expect(e->sequence_remove(session, 0, 0, -1, &error) == AIOSS_OK, "sequence_remove");
  expect(e->sequence_copy(session, 0, 1, &error) == AIOSS_E_UNSUPPORTED, "sequence_copy");
  size_t size = 0;
  uint8_t state[1] = {0};
  expect(e->sequence_state_size(session, 0, &size, &error) == AIOSS_OK && size == 1, "size");
  expect(e->sequence_save(session, 0, state, &size, &error) == AIOSS_OK, "save");
  expect(e->sequence_load(session, 0, state, size, &error) == AIOSS_OK, "load");
  aioss_counters count = {0};
  count.struct_size = sizeof count;
  e->counters(session, &count);
  expect(count.graphs == 1, "counters");
  e->session_close(session);
}

int main(void) {
  const aioss_engine_entry_fn entry = aioss_engine_entry;
  const aioss_engine* e = entry();
  check_layout();
  expect(AIOSS_SEQUENCES_MAX == 256 && AIOSS_CELLS_PER_SEQUENCE_MAX == 16777216 &&
             AIOSS_CELLS_TOTAL_MAX == 4294967295 && AIOSS_BATCH_TOKENS_MAX == 65536 &&
             AIOSS_THREADS_MAX == 512,
         "limits");
  expect(strcmp(AIOSS_ENGINE_ENTRY_SYMBOL, "aioss_engine_entry") == 0, "name of the entry");
  aioss_engine_identity who = {0};
  who.struct_size = sizeof who;
  e->identity(&who);
  expect(strcmp(who.name, "c") == 0 && who.abi_version == e->abi_version, "identity");
  expect(e->profiles() == 1 && e->prefill_grid_tokens() == 64, "profiles");
  aioss_error error = {{0}};
  aioss_device where = {0};
  where.struct_size = sizeof where;
  expect(e->device_count() == 1 && e->device(0, &where, &error) == AIOSS_OK, "device");
  expect(e->device(1, &where, &error) == AIOSS_E_INVALID && error.message[0] == 'n', "error");
  const int fds[1] = {0};
  float fraction = 0.0f;
  aioss_model_options options = {0};
  options.struct_size = sizeof options;
  options.profile = AIOSS_PROFILE_FAST;
  options.fds = fds;
  options.fd_count = 1;
  options.progress = keep_going;
  options.progress_user = &fraction;
  aioss_session_options session = {0};
  session.struct_size = sizeof session;
  aioss_plan bytes = {0};
  bytes.struct_size = sizeof bytes;
  aioss_model* model = NULL;
  expect(e->model_open(&options, &model, &error) == AIOSS_OK && fraction > 0.5f, "model_open");
  expect(e->plan(model, &session, &bytes, &error) == AIOSS_OK && bytes.exact == 1, "plan");
  aioss_model_facts facts = {0};
  facts.struct_size = sizeof facts;
  e->model_facts(model, &facts);
  expect(facts.vocabulary_size == 4, "model_facts");
  check_session(e, model);
  e->model_close(model);
  return failures == 0 ? 0 : 1;
}
