// The llama.cpp engine (v0.5.0, CPU), linked into the binary. Thread rules are those of
// aioss/engine.h. Parses model files, which are untrusted: call model_open, plan and open_text in a
// worker only. Opens no path: after a file descriptor is handed over, nothing is opened, whatever
// the model.
//
// Profiles: fast (flash attention, repacked weights) and reproducible (no repacked weights, a lone
// sequence's KV not split over the threads, the whole KV window kept, one number of threads).
// evidence is not promised: flash attention takes 16 queries and more in tiles, single ones
// otherwise.
#pragma once

#include <memory>
#include <vector>

#include "aioss/engine.h"
#include "base/result.h"
#include "engine/engine.h"
#include "engine/text.h"

namespace aioss::engines::llama {

const aioss_engine* entry();

// The text side of a model that this engine opened. Shares its vocabulary; the model must outlive
// it.
Result<std::unique_ptr<engine::TextModel>> open_text(engine::Model& model);

// The text side alone, of a GGUF file that another engine computes with: nothing of its weights is
// read. The descriptors are as in aioss_model_options, and needed for this call only.
Result<std::unique_ptr<engine::TextModel>> open_vocabulary(const std::vector<int>& fds);

}  // namespace aioss::engines::llama
