// How many tokens a model in GGUF has, for the test engine that stands in for it. Reads no more of
// the file than the keys before its tokens, by offset; every size in it is untrusted. Pure.
#pragma once

#include <cstdint>

#include "base/result.h"

namespace aioss::engines::fake {

bool is_gguf(int fd);
// kModelCorrupt: no such list within the bounds, or of a size that no model has.
Result<std::uint32_t> gguf_vocabulary(int fd);

}  // namespace aioss::engines::fake
