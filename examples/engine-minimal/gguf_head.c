/* Format: github.com/ggml-org/ggml, docs/gguf.md, versions 2 and 3. */
#define _POSIX_C_SOURCE 200809L

#include "gguf_head.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static aioss_status refuse(const char** reason, aioss_status status, const char* why) {
  *reason = why;
  return status;
}

enum {
  kGgufString = 8,
  kGgufArray = 9,
  kBufferBytes = 1 << 16,
  kKeyBytesMax = 128,
  kEntriesMax = 1 << 16,
  kVocabularyMax = 1 << 24
};

/* Files are strangers' bytes: every size is bounded before it is used, and reads are checked. */
typedef struct reader {
  int fd;
  bool failed;
  uint64_t next; /* in the file, behind what is in the buffer */
  size_t at, size;
  unsigned char buffer[kBufferBytes];
} reader;

static void take(reader* in, void* out, uint64_t count) { /* out may be NULL: skipped */
  while (count > 0 && !in->failed) {
    if (in->at == in->size) {
      const ssize_t got = pread(in->fd, in->buffer, sizeof in->buffer, (off_t)in->next);
      in->failed = got <= 0;
      if (in->failed) return;
      in->at = 0;
      in->size = (size_t)got;
      in->next += (uint64_t)got;
    }
    const size_t here = count < in->size - in->at ? (size_t)count : in->size - in->at;
    if (out != NULL) {
      memcpy(out, in->buffer + in->at, here);
      out = (unsigned char*)out + here;
    }
    in->at += here;
    count -= here;
  }
}

static uint64_t take_number(reader* in, size_t bytes) { /* little-endian, as the machines we know */
  uint64_t value = 0;
  take(in, &value, bytes);
  return in->failed ? 0 : value;
}

/* A text, cut at `room`; zero-terminated. */
static void take_text(reader* in, char* out, size_t room) {
  const uint64_t size = take_number(in, 8);
  const uint64_t kept = size < room - 1 ? size : room - 1;
  if (size > UINT32_MAX) in->failed = true;
  take(in, out, kept);
  take(in, NULL, size - kept);
  out[in->failed ? 0 : kept] = '\0';
}

static uint64_t size_of_type(uint64_t type) { /* 0: of no fixed size */
  static const unsigned char sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return type < sizeof sizes ? sizes[type] : 0;
}

/* Skips the value of an entry; the number of elements if it is an array. */
static uint64_t skip_value(reader* in, uint64_t type) {
  uint64_t count = 1;
  const bool array = type == kGgufArray;
  if (array) {
    type = take_number(in, 4);
    count = take_number(in, 8);
    if (count > kVocabularyMax) in->failed = true;
  }
  for (uint64_t i = 0; i < count && !in->failed; ++i) {
    if (type != kGgufString && size_of_type(type) == 0) in->failed = true;
    take(in, NULL, type == kGgufString ? take_number(in, 8) : size_of_type(type));
  }
  return array ? count : 0;
}

static bool ends_with(const char* text, const char* end) {
  const size_t length = strlen(text), tail = strlen(end);
  return length >= tail && strcmp(text + length - tail, end) == 0;
}

aioss_status gguf_read_head(int fd, gguf_head* out, const char** reason) {
  reader* const in = calloc(1, sizeof *in);
  if (in == NULL) return refuse(reason, AIOSS_E_NO_MEMORY, "not enough memory");
  in->fd = fd;
  char key[kKeyBytesMax] = "";
  take(in, key, 4);
  const bool readable = !in->failed;
  const bool is_gguf = readable && memcmp(key, "GGUF", 4) == 0;
  (void)take_number(in, 4); /* version */
  (void)take_number(in, 8); /* tensors, of which a parrot needs none */
  const uint64_t entries = take_number(in, 8);
  if (entries > kEntriesMax) in->failed = true;
  for (uint64_t i = 0; is_gguf && i < entries && !in->failed; ++i) {
    take_text(in, key, sizeof key);
    const uint64_t type = take_number(in, 4);
    if (strcmp(key, "general.architecture") == 0 && type == kGgufString) {
      take_text(in, out->architecture, sizeof out->architecture);
    } else if (ends_with(key, ".context_length") && size_of_type(type) == 4) {
      out->context_tokens = (uint32_t)take_number(in, 4);
    } else {
      const uint64_t count = skip_value(in, type);
      if (strcmp(key, "tokenizer.ggml.tokens") == 0) out->vocabulary_size = (uint32_t)count;
    }
  }
  const bool whole = is_gguf && !in->failed;
  free(in);
  if (!readable) return refuse(reason, AIOSS_E_IO, "the model's file cannot be read");
  if (!whole) return refuse(reason, AIOSS_E_CORRUPT, "this is no whole GGUF file");
  if (out->vocabulary_size == 0) {
    return refuse(reason, AIOSS_E_UNSUPPORTED, "the model has no vocabulary");
  }
  return AIOSS_OK;
}
