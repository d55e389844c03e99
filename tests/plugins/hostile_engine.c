/*
 * The example engine with one fault, for tests: what a plugin can do wrong, or on purpose. Compiled
 * once for each fault, chosen by -D:
 *   CRASHES_IN=call, HANGS_IN=call   a call of the table: decode, model_open, …
 *   CRASHES_AT_START, HANGS_AT_START, ENDS_AT_START   in a constructor, that is in dlopen()
 *   STARTS_A_THREAD                  in a constructor, and leaves it running
 *   READS_AT_START                   files of other people, in a constructor; crashes if it can
 *   NO_ENTRY, NO_TABLE               no symbol; a symbol that returns NULL
 *   ABI=n, TABLE_BYTES=n             a table of another version or size
 *   LACKS=call                       NULL instead of a mandatory function
 *   NAME="…", VERSION="…"            what it calls itself
 *   ENDLESS_NAME                     a name without an end
 *   VOCABULARY=n                     rows of n tokens, whatever the file says
 *   PLANS=n, PLANS_WEIGHTS=n         bytes that it says it needs
 *   TAKES_MIB=n                      MiB that a session takes beside
 *   NO_LOGITS, STATE_BYTES=n         no rows; a state of n bytes
 *   DRIFTS                           rows that are never the same twice
 */
#define aioss_engine_entry parrot_entry
#include "../../examples/engine-minimal/gguf_head.c"
#include "../../examples/engine-minimal/minimal_engine.c"
#undef aioss_engine_entry

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>

static void crash(void) {
  raise(SIGSEGV);
}

static void hang(void) {
  for (;;) pause();
}

#if defined(CRASHES_AT_START)
__attribute__((constructor)) static void at_start(void) {
  crash();
}
#elif defined(HANGS_AT_START)
__attribute__((constructor)) static void at_start(void) {
  hang();
}
#elif defined(ENDS_AT_START)
__attribute__((constructor)) static void at_start(void) {
  _exit(0);
}
#elif defined(READS_AT_START)
static void try_to_read(const char* path) {
  if (path != NULL && open(path, O_RDONLY) >= 0) crash();
}
__attribute__((constructor)) static void at_start(void) {
  try_to_read("/etc/passwd");
  try_to_read("/proc/self/root/etc/passwd");
  try_to_read("/");
  try_to_read("/home");
  try_to_read("/root");
}
#elif defined(STARTS_A_THREAD)
static void* idle(void* unused) {
  (void)unused;
  hang();
  return NULL;
}
__attribute__((constructor)) static void at_start(void) {
  pthread_t thread;
  (void)pthread_create(&thread, NULL, idle, NULL);
}
#endif

#if defined(NAME) || defined(VERSION) || defined(ENDLESS_NAME)
static void other_identity(aioss_engine_identity* out) {
  identity(out);
#if defined(NAME)
  out->name = NAME;
#endif
#if defined(VERSION)
  out->version = VERSION;
#endif
#if defined(ENDLESS_NAME)
  static char endless[1 << 20];
  memset(endless, 'a', sizeof endless);
  out->name = endless;
#endif
}
#endif

#if defined(VOCABULARY)
static void other_facts(const aioss_model* model, aioss_model_facts* out) {
  model_facts(model, out);
  out->vocabulary_size = VOCABULARY;
}
#endif

#if defined(PLANS) || defined(PLANS_WEIGHTS)
static aioss_status other_plan(aioss_model* model, const aioss_session_options* options,
                               aioss_plan* out, aioss_error* error) {
  const aioss_status status = plan(model, options, out, error);
#if defined(PLANS)
  out->kv_bytes = PLANS;
#else
  out->weight_bytes = PLANS_WEIGHTS;
#endif
  return status;
}
#endif

#if defined(TAKES_MIB)
static aioss_status greedy_session(aioss_model* model, const aioss_session_options* options,
                                   aioss_session** out, aioss_error* error) {
  static char* volatile taken; /* or the compiler leaves out what nobody reads */
  taken = malloc((size_t)TAKES_MIB << 20);
  if (taken == NULL) return AIOSS_E_NO_MEMORY;
  memset(taken, 1, (size_t)TAKES_MIB << 20);
  return session_create(model, options, out, error);
}
#endif

#if defined(NO_LOGITS)
static const float* no_logits(aioss_session* session, uint32_t output) {
  (void)session;
  (void)output;
  return NULL;
}
#endif

#if defined(DRIFTS)
static const float* drifting_logits(aioss_session* session, uint32_t output) {
  static float drift;
  float* const row = (float*)logits(session, output);
  if (row != NULL) row[0] += drift += 1.0f;
  return row;
}
#endif

#if defined(STATE_BYTES)
static aioss_status absurd_size(aioss_session* session, int32_t number, size_t* size,
                                aioss_error* error) {
  const aioss_status status = sequence_state_size(session, number, size, error);
  *size = STATE_BYTES;
  return status;
}
#endif

/* Whatever the call's type is: it is never returned from. */
#define REPLACE(call, by)                           \
  do {                                              \
    void (*const bad)(void) = by;                   \
    memcpy(&engine.call, &bad, sizeof engine.call); \
  } while (0)

#if !defined(NO_ENTRY)
__attribute__((visibility("default"))) const aioss_engine* aioss_engine_entry(void) {
  static aioss_engine engine;
  engine = *parrot_entry();
#if defined(LACKS)
  engine.LACKS = NULL;
#endif
#if defined(ABI)
  engine.abi_version = ABI;
#endif
#if defined(TABLE_BYTES)
  engine.struct_size = TABLE_BYTES;
#endif
#if defined(NAME) || defined(VERSION) || defined(ENDLESS_NAME)
  engine.identity = other_identity;
#endif
#if defined(VOCABULARY)
  engine.model_facts = other_facts;
#endif
#if defined(PLANS) || defined(PLANS_WEIGHTS)
  engine.plan = other_plan;
#endif
#if defined(TAKES_MIB)
  engine.session_create = greedy_session;
#endif
#if defined(NO_LOGITS)
  engine.logits = no_logits;
#endif
#if defined(DRIFTS)
  engine.logits = drifting_logits;
#endif
#if defined(STATE_BYTES)
  engine.sequence_state_size = absurd_size;
#endif
#if defined(CRASHES_IN)
  REPLACE(CRASHES_IN, crash);
#elif defined(HANGS_IN)
  REPLACE(HANGS_IN, hang);
#endif
  (void)crash;
  (void)hang;
#if defined(NO_TABLE)
  return NULL;
#endif
  return &engine;
}
#endif
