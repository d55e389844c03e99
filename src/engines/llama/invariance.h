// What the profiles other than fast ask of llama.cpp's arithmetic: our patches 0006 and 0007.
// Somebody's own tree (AIOSS_LLAMA_SOURCE_DIR) may lack them, and has no flash attention there
// then.
#pragma once

#include "aioss/engine.h"
#include "ggml-cpu.h"
#include "llama.h"

namespace aioss::engines::llama {

#if defined(GGML_CPU_HAS_INVARIANT) && defined(LLAMA_STATE_SEQ_FLAGS_WHOLE_TILES)

inline constexpr bool kHasInvariantKernels = true;

// To be called before each decode, by its thread.
inline void choose_kernels(aioss_profile profile) {
  ggml_cpu_set_invariant(profile != AIOSS_PROFILE_FAST);
}

// Of llama_state_seq_*_ext.
inline llama_state_seq_flags state_flags(aioss_profile profile) {
  return profile == AIOSS_PROFILE_FAST ? LLAMA_STATE_SEQ_FLAGS_NONE
                                       : LLAMA_STATE_SEQ_FLAGS_WHOLE_TILES;
}

#else

inline constexpr bool kHasInvariantKernels = false;
inline void choose_kernels(aioss_profile) {}
inline llama_state_seq_flags state_flags(aioss_profile) {
  return LLAMA_STATE_SEQ_FLAGS_NONE;
}

#endif

}  // namespace aioss::engines::llama
