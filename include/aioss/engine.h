/*
 * aioss engine ABI, version 1. What is added at the end of structs and of the table leaves the
 * version as it is; an engine of another version is refused.
 *
 * An engine turns tokens into logits. It knows nothing of text, sampling, HTTP or batching policy.
 * It is a C11 interface: one exported function, `aioss_engine_entry`, returns a table of functions.
 *
 * Conventions, for every call:
 *  - Ownership: pointers passed in are borrowed for the duration of the call unless said otherwise.
 *    Handles returned belong to the caller until the matching *_close. Strings returned live as
 *    long as the handle they came from (the table's own strings: for ever), are UTF-8 and
 *    zero-terminated.
 *  - Errors: a call returns AIOSS_OK or a status; on failure it fills `error` (if not NULL) with
 *    one line for a person. No call throws, exits, or prints to standard output.
 *  - Threads: a model may be used by one thread at a time, and so may a session. Different
 *    sessions, of one model too, may be used from different threads. The callbacks run on the
 *    calling thread unless said otherwise. The table's calls without a handle may be made from any
 *    thread.
 *  - Sizes: every struct that may grow begins with `struct_size`, set by the caller. In a struct
 *    that is read it says how much is there: an engine reads no further and takes absent fields as
 *    zero. In a struct that is filled it says how much room there is: an engine writes no more and
 *    leaves the size of what it filled. A size of 0 is an error (AIOSS_E_INVALID; void calls do
 *    nothing).
 *  - Out pointers of failing calls: handles are set to NULL, other results are unspecified.
 *  - Untrusted input: files of models and adapters. A damaged one may make an engine abort the
 *    process; hosts contain it. Arguments out of range never do: they are AIOSS_E_INVALID.
 *  - Optional calls: those at the end of the table that are marked so. An engine without them has a
 *    table that ends before them, or null pointers there.
 *  - Units: bytes, tokens and KV cells.
 */
#ifndef AIOSS_ENGINE_H
#define AIOSS_ENGINE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define AIOSS_ENGINE_ABI_VERSION 1u

typedef struct aioss_model aioss_model;     /* weights, opened from file descriptors */
typedef struct aioss_session aioss_session; /* KV cache and compute buffers over one model */
typedef struct aioss_adapter aioss_adapter; /* low-rank changes (LoRA) of one model's weights */

typedef enum aioss_status {
    AIOSS_OK = 0,
    AIOSS_E_INVALID = 1,     /* an argument is out of the range that the options or facts allow */
    AIOSS_E_UNSUPPORTED = 2, /* this engine or model cannot do it */
    AIOSS_E_CORRUPT = 3,     /* the model file is damaged or not of a known format */
    AIOSS_E_NO_MEMORY = 4,
    AIOSS_E_IO = 5,
    AIOSS_E_ABORTED = 6, /* the abort or progress callback asked to stop */
    AIOSS_E_FULL = 7,    /* no KV cells are left for this sequence */
    AIOSS_E_FAILED = 8   /* the engine failed inside; the session must be closed */
} aioss_status;

typedef struct aioss_error {
    char message[512]; /* zero-terminated, one line, may be empty */
} aioss_error;

/* ---- identity ------------------------------------------------------------------------------ */

typedef struct aioss_engine_identity {
    uint32_t struct_size;
    uint32_t abi_version;     /* AIOSS_ENGINE_ABI_VERSION of the header it was built with */
    const char *name;         /* "llama", "fake", … */
    const char *version;      /* the engine's own, e.g. "0.5.0" */
    const char *build_id;     /* exact source and patches, e.g. a commit */
    const char *compiler;     /* compiler and version */
    const char *cpu_features; /* instruction sets compiled in, space-separated; "" if none apply */
} aioss_engine_identity;

typedef enum aioss_device_kind {
    AIOSS_DEVICE_CPU = 0,
    AIOSS_DEVICE_GPU = 1,
    AIOSS_DEVICE_IGPU = 2,
    AIOSS_DEVICE_ACCEL = 3
} aioss_device_kind;

typedef struct aioss_device {
    uint32_t struct_size;
    uint32_t kind;    /* aioss_device_kind */
    char name[64];    /* "CPU", "CUDA0", … */
    char backend[32]; /* "CPU", "CUDA", "Vulkan", "Metal" */
    char description[128];
    /* Asking a GPU for them begins its driver, which takes memory there: an engine leaves that to
     * those who want them. A struct_size that ends here does not. */
    uint64_t bytes_total;
    uint64_t bytes_free;
} aioss_device;

/* ---- profiles: which differences in arithmetic are allowed ----------------------------------- */

typedef enum aioss_profile {
    AIOSS_PROFILE_FAST = 0, /* whatever is fastest */
    /* The logits of a sequence depend on its own tokens and on nothing else: not on neighbours in
     * the batch, on earlier use of the session, or on how a prefill was cut at multiples of
     * `prefill_grid_tokens`. */
    AIOSS_PROFILE_REPRODUCIBLE = 1,
    /* Also: prefill and decode of the same tokens give the same bits. */
    AIOSS_PROFILE_EVIDENCE = 2
} aioss_profile;

#define AIOSS_DEVICES_MAX 16u /* that one model is split over */

/* ---- models ---------------------------------------------------------------------------------- */

typedef enum aioss_model_flags {
    /* Reads the head of the file only and allocates no weights. What is opened so serves
     * model_facts, plan and model_close, and the host's own look at its text; session_create
     * refuses it (AIOSS_E_INVALID). */
    AIOSS_MODEL_DRY_RUN = 1u
} aioss_model_flags;

typedef struct aioss_model_options {
    uint32_t struct_size;
    uint32_t profile; /* aioss_profile */
    /* Open, readable, seekable; in order, for split files. Borrowed: the engine duplicates or maps
     * what it needs and opens no path. Their offsets are unspecified afterwards. */
    const int *fds;
    uint32_t fd_count; /* >= 1 */
    uint32_t flags;    /* aioss_model_flags */
    /* Called now and then with 0…1 while loading; returns 0 to give up (AIOSS_E_ABORTED). May be
     * NULL. */
    int (*progress)(float fraction, void *user);
    void *progress_user;
    /* The devices that layers with their KV are put on, by index, all different, in the order in
     * which the layers follow one another; borrowed. None (NULL and 0), or one of the kind CPU
     * alone: the CPU computes all. AIOSS_E_UNSUPPORTED where a profile is not kept on one of them.
     */
    const uint32_t *devices;
    /* device_count shares, finite, not negative; NULL: by what is free there. */
    const float *splits;
    uint32_t device_count; /* 0 … AIOSS_DEVICES_MAX */
    /* How many layers, the last ones, go there; the others stay with the CPU. -1: all. Of no
     * meaning without devices. */
    int32_t gpu_layers;
    /* Of so many layers, the first ones of the model, the experts stay with the CPU wherever the
     * layers go: they are most of such a model, and few of them compute a token. 0: none; without
     * meaning for models that have no experts. */
    uint32_t cpu_expert_layers;
    uint32_t reserved; /* 0 */
} aioss_model_options;

typedef struct aioss_model_facts {
    uint32_t struct_size;
    uint32_t vocabulary_size;      /* logits per output */
    uint32_t context_tokens_train; /* 0 if unknown */
    uint32_t embedding_size;
    uint32_t layer_count;
    uint32_t reserved;
    uint64_t parameter_count;
    uint64_t weight_bytes;    /* as resident after load */
    const char *architecture; /* "llama", "gemma3", …; lives as long as the model */
    const char *description;  /* for people; likewise. From the model file: untrusted */
} aioss_model_facts;

/* ---- adapters (optional) --------------------------------------------------------------------- */

#define AIOSS_ADAPTERS_MAX 8u          /* in one decode call */
#define AIOSS_ADAPTER_SCALE_MAX 100.0f /* both signs; beyond it nothing of the model is left */

typedef struct aioss_adapter_options {
    uint32_t struct_size;
    uint32_t flags; /* none yet: 0 */
    int fd;         /* open, readable, seekable; borrowed. Its offset is unspecified afterwards */
    uint32_t reserved;
} aioss_adapter_options;

typedef struct aioss_adapter_facts {
    uint32_t struct_size;
    uint32_t rank;       /* the largest of its pairs */
    uint32_t pair_count; /* weights that it changes */
    uint32_t reserved;
    uint64_t bytes; /* as resident after load */
    /* At most so many more bytes of compute buffers for each token of a micro-batch that it is used
     * in. */
    uint64_t compute_bytes_per_token;
    const char *architecture; /* of the models it is made for; lives as long as the adapter */
    const char *name;         /* for people; likewise. From the file: untrusted, "" if none */
} aioss_adapter_facts;

/* An adapter and how much of it: 0 is none. In an array, so it does not grow. */
typedef struct aioss_adapter_use {
    aioss_adapter *adapter; /* of the session's model */
    float scale;            /* finite, at most AIOSS_ADAPTER_SCALE_MAX either way */
    uint32_t reserved;      /* 0 */
} aioss_adapter_use;

/* ---- sessions -------------------------------------------------------------------------------- */

typedef enum aioss_session_flags {
    AIOSS_SESSION_COUNT_GRAPHS = 1u /* keep `graphs` in the counters exact, at some cost */
} aioss_session_flags;

/* How keys and values of the KV cache are stored; both alike. An engine refuses what it, the model
 * or the profile cannot do with AIOSS_E_UNSUPPORTED. */
typedef enum aioss_kv_type {
    AIOSS_KV_F16 = 0,
    AIOSS_KV_BF16 = 1,
    AIOSS_KV_F32 = 2,
    AIOSS_KV_Q8_0 = 3, /* 8.5 bits for each number */
    AIOSS_KV_Q5_1 = 4, /* 6 */
    AIOSS_KV_Q5_0 = 5, /* 5.5 */
    AIOSS_KV_Q4_1 = 6, /* 5 */
    AIOSS_KV_Q4_0 = 7  /* 4.5 */
} aioss_kv_type;

/* How attention over the KV cache is computed: in one pass that never holds the whole matrix of
 * weights, or step by step. Which is faster depends on engine, machine and context; they differ in
 * bits. An engine refuses what it, the device, the KV type or the profile cannot do with
 * AIOSS_E_UNSUPPORTED. */
typedef enum aioss_flash_attention {
    AIOSS_FLASH_ENGINE = 0, /* the engine's choice, and the only one that every engine takes */
    AIOSS_FLASH_ON = 1,
    AIOSS_FLASH_OFF = 2
} aioss_flash_attention;

/* The one place of the limits on what a host may ask of a session, whatever the machine: settings
 * and messages take theirs from here. An engine refuses more with AIOSS_E_INVALID and the numbers.
 */
#define AIOSS_SEQUENCES_MAX 256u                /* llama.cpp's LLAMA_MAX_SEQ */
#define AIOSS_CELLS_PER_SEQUENCE_MAX (1u << 24) /* over any known context */
#define AIOSS_CELLS_TOTAL_MAX UINT32_MAX        /* of all sequences; engines may round up first */
#define AIOSS_BATCH_TOKENS_MAX (1u << 16)       /* a prefill chunk is at most one batch */
#define AIOSS_THREADS_MAX 512u                  /* ggml's GGML_MAX_N_THREADS */

typedef struct aioss_session_options {
    uint32_t struct_size;
    uint32_t sequences_max;          /* KV streams; each has its own cells */
    uint32_t cells_per_sequence;     /* tokens that one sequence can hold */
    uint32_t batch_tokens_max;       /* tokens in one decode call */
    uint32_t micro_batch_tokens_max; /* tokens in one graph; 0: the engine's choice */
    uint32_t outputs_max;            /* rows of logits in one decode call; 0: sequences_max */
    /* Compute threads of decode calls of one token (`threads`) and of more (`threads_batch`). 0:
     * the engine's choice, and as `threads`. Outside the profile fast an engine may take one number
     * for both where it would change bits. */
    uint32_t threads;
    uint32_t threads_batch;
    uint32_t flags;   /* aioss_session_flags */
    uint32_t kv_type; /* aioss_kv_type */
    /* Asked again and again inside a decode call, from the engine's threads; returns non-zero to
     * stop that call (AIOSS_E_ABORTED). May be NULL. Must be thread-safe and quick. Engines ask
     * only in calls with several tokens of a single sequence, so that nobody's neighbour loses a
     * step; an engine of a device that cannot stop inside a graph asks between graphs. */
    int (*abort)(void *user);
    void *abort_user;
    uint32_t flash_attention; /* aioss_flash_attention */
    uint32_t reserved;        /* 0 */
} aioss_session_options;

/* What a session takes of the memory of one device other than the host's. In an array, so it does
 * not grow. */
typedef struct aioss_plan_device {
    uint32_t device; /* its index */
    uint32_t reserved;
    uint64_t weight_bytes;
    uint64_t kv_bytes;
    uint64_t compute_bytes;
} aioss_plan_device;

/* Bytes per kind, from a dry run that allocates none of them. Those of the host's memory first;
 * what is on other devices stands in `devices` alone. */
typedef struct aioss_plan {
    uint32_t struct_size;
    uint32_t exact;        /* 1: the engine asked its allocator; 0: an estimate */
    uint64_t weight_bytes; /* as resident after load: mapped, and repacked ones */
    uint64_t kv_bytes;
    uint64_t compute_bytes;
    uint64_t output_bytes;     /* logits buffer */
    uint64_t vocabulary_bytes; /* tables of tokens, on the heap */
    /* Of engine and process, beside all of the above: graphs, threads, allocator. Calibrated. */
    uint64_t overhead_bytes;
    uint32_t device_count; /* of `devices` that are filled: those of the model's options */
    uint32_t reserved;
    aioss_plan_device devices[AIOSS_DEVICES_MAX];
} aioss_plan;

/* One decode call. Token i goes to position positions[i] of sequence sequences[i]; if outputs[i] is
 * non-zero its logits are kept (at most outputs_max). Positions of a sequence are dense and
 * ascending: the first is the number of tokens that it holds. Sequences that appear are best dense
 * and ascending too: gaps may cost one graph each. Outputs are numbered 0, 1, … in the order in
 * which they stand in the batch. The arrays have token_count entries each and are borrowed for the
 * call.
 *
 * The weights of the whole call are the model's, changed by `adapters`: all different, in any order
 * but always the same one for the same bits. A sequence does not remember under which adapters its
 * tokens were computed; that they belong together is the host's business. A call without adapters
 * has the bits that it has where none was ever loaded. Profiles hold for each set of adapters by
 * itself; outside `fast` an engine may refuse several at once (AIOSS_E_UNSUPPORTED). Changing the
 * set from one call to the next may cost time. */
typedef struct aioss_batch {
    uint32_t struct_size;
    uint32_t token_count; /* 1 … batch_tokens_max */
    const int32_t *tokens;
    const int32_t *positions;
    const int32_t *sequences; /* 0 … sequences_max - 1 */
    const uint8_t *outputs;
    const aioss_adapter_use *adapters; /* adapter_count of them, borrowed; NULL if there are none */
    uint32_t adapter_count;            /* 0 … AIOSS_ADAPTERS_MAX */
    uint32_t reserved;
} aioss_batch;

typedef struct aioss_counters {
    uint32_t struct_size;
    uint32_t reserved;
    uint64_t decode_calls; /* that succeeded */
    uint64_t graphs;       /* graphs computed; 0 unless AIOSS_SESSION_COUNT_GRAPHS */
    uint64_t tokens;       /* of those calls */
} aioss_counters;

typedef struct aioss_engine {
    uint32_t struct_size;
    uint32_t abi_version;

    /* Cheap; touches no device and no file. */
    void (*identity)(aioss_engine_identity *out);
    /* What this engine guarantees: a bit (1 << profile) for each aioss_profile that it keeps. */
    uint32_t (*profiles)(void);
    /* Prefill chunks of a reproducible sequence end on multiples of this, or with the prompt. */
    uint32_t (*prefill_grid_tokens)(void);

    /* May initialise drivers: call it before a sandbox that forbids opening files, or live with
     * less detail. Errors: AIOSS_E_INVALID if there is no device `index`. */
    uint32_t (*device_count)(void);
    aioss_status (*device)(uint32_t index, aioss_device *out, aioss_error *error);

    /* What a session with these options would take, with its model, which was opened with
     * AIOSS_MODEL_DRY_RUN (INVALID otherwise). Allocates neither and calls no callback. Quick, so
     * that many options can be tried. Errors: as session_create. */
    aioss_status (*plan)(aioss_model *model, const aioss_session_options *options, aioss_plan *out,
                         aioss_error *error);

    /* Errors: INVALID, IO, CORRUPT, UNSUPPORTED (architecture, profile, split files), NO_MEMORY,
     * ABORTED (by `progress`). */
    aioss_status (*model_open)(const aioss_model_options *options, aioss_model **out,
                               aioss_error *error);
    void (*model_facts)(const aioss_model *model, aioss_model_facts *out);
    void (*model_close)(aioss_model *model); /* its sessions are closed before; NULL is allowed */

    /* All memory of the session is reserved here, within its plan; pages of it may be touched
     * later. Decode allocates nothing that grows with use. The model outlives the session. Errors:
     * INVALID, NO_MEMORY, FAILED. */
    aioss_status (*session_create)(aioss_model *model, const aioss_session_options *options,
                                   aioss_session **out, aioss_error *error);
    void (*session_close)(aioss_session *session); /* NULL is allowed */

    /* Blocks until the logits are there. Errors: INVALID and FULL leave the session as it was.
     * After ABORTED the sequences of the batch hold an unspecified prefix of its tokens: cut them
     * back with sequence_remove before going on. After FAILED only session_close is of use. */
    aioss_status (*decode)(aioss_session *session, const aioss_batch *batch, aioss_error *error);
    /* vocabulary_size floats of the last successful decode call, valid until the next call on this
     * session except logits and counters. NULL if there is no such output. */
    const float *(*logits)(aioss_session *session, uint32_t output);

    /* Drops the cells at positions [from, to) of a sequence; to < 0 means its end. From 0 to the
     * end always succeeds, and so does a range that holds no token. Other cuts may be
     * AIOSS_E_UNSUPPORTED: out of the middle, or, where the memory forgets (sliding windows,
     * recurrent models), back to a position that cannot be gone on from. The sequence is unchanged
     * then. */
    aioss_status (*sequence_remove)(aioss_session *session, int32_t sequence, int32_t from,
                                    int32_t to, aioss_error *error);
    /* `target`, which is empty (else INVALID), becomes a copy of `source`, at once. */
    aioss_status (*sequence_copy)(aioss_session *session, int32_t source, int32_t target,
                                  aioss_error *error);

    /* A sequence's state as bytes: text in another form, to be protected like it. It loads into a
     * session with the same model, profile, engine build and geometry only (sequences_max,
     * cells_per_sequence, batch sizes); anything else, and damage that a checksum finds, is
     * AIOSS_E_INVALID. Authenticity is the host's business. save: `size` in is the room, out is
     * what was written; a size that sequence_state_size gave is enough until the sequence changes.
     * load: what the sequence held is dropped, unless the bytes are refused. */
    aioss_status (*sequence_state_size)(aioss_session *session, int32_t sequence, size_t *size,
                                        aioss_error *error);
    aioss_status (*sequence_save)(aioss_session *session, int32_t sequence, uint8_t *data,
                                  size_t *size, aioss_error *error);
    aioss_status (*sequence_load)(aioss_session *session, int32_t sequence, const uint8_t *data,
                                  size_t size, aioss_error *error);

    /* Since the session was created. Aborted and failed calls count in `graphs` only. */
    void (*counters)(const aioss_session *session, aioss_counters *out);

    /* ---- optional: all three or none ---- */

    /* For models that were not opened for a dry run. Not while a session of the model computes, and
     * nor is adapter_close. Errors: INVALID, IO, CORRUPT, UNSUPPORTED (made for another
     * architecture or other weights, of a kind that is not known), NO_MEMORY. */
    aioss_status (*adapter_open)(aioss_model *model, const aioss_adapter_options *options,
                                 aioss_adapter **out, aioss_error *error);
    void (*adapter_facts)(const aioss_adapter *adapter, aioss_adapter_facts *out);
    /* Before model_close; NULL is allowed. Sessions that have used it go on without it. */
    void (*adapter_close)(aioss_adapter *adapter);
} aioss_engine;

/* The one symbol that a plugin exports. Never NULL, never freed; may be called more than once. */
typedef const aioss_engine *(*aioss_engine_entry_fn)(void);
#define AIOSS_ENGINE_ENTRY_SYMBOL "aioss_engine_entry"

#ifdef __cplusplus
}
#endif

#endif /* AIOSS_ENGINE_H */
