/* What the parrot needs of a GGUF file: facts of its head. No tensor is looked at. */
#ifndef GGUF_HEAD_H
#define GGUF_HEAD_H

#include "aioss/engine.h"

typedef struct gguf_head {
  uint32_t vocabulary_size, context_tokens;
  char architecture[64];
} gguf_head;

/* `reason`: why not, if it is not AIOSS_OK; a text that lives for ever. */
aioss_status gguf_read_head(int fd, gguf_head* out, const char** reason);

#endif
