#include "app/embedded.h"

#include "aioss/engine.h"
#include "engines/llama/llama_engine.h"

#ifdef AIOSS_EMBEDS_LLAMA_V4
extern "C" const unsigned char aioss_llama_v4_begin[], aioss_llama_v4_end[];
#endif
#ifdef AIOSS_EMBEDS_IK
extern "C" const unsigned char aioss_ik_begin[], aioss_ik_end[];
#endif

namespace aioss::app {

std::vector<cli::EmbeddedEngine> embedded_engines() {
  std::vector<cli::EmbeddedEngine> out;
#ifdef AIOSS_EMBEDS_LLAMA_V4
  // The linked engine once more, with the instructions of another level.
  aioss_engine_identity identity{};
  identity.struct_size = sizeof identity;
  engines::llama::entry()->identity(&identity);
  out.push_back({identity.name, identity.version, "x86-64-v4",
                 ByteView(aioss_llama_v4_begin, aioss_llama_v4_end)});
#endif
#ifdef AIOSS_EMBEDS_IK
  // Built for the level that the binary as a whole wants.
  out.push_back({"ik", AIOSS_EMBEDS_IK, "", ByteView(aioss_ik_begin, aioss_ik_end)});
#endif
  return out;
}

}  // namespace aioss::app
