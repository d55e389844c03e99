// The one symbol that a plugin exports.
#include "aioss/engine.h"
#include "engines/llama/llama_engine.h"

extern "C" __attribute__((visibility("default"))) const aioss_engine* aioss_engine_entry(void) {
  return aioss::engines::llama::entry();
}
