// The scripted engine: deterministic, without a model or arithmetic. The tests' engine: it keeps
// real per-sequence token state, so that a scheduler that loses, mixes or misplaces a token gets
// other logits or an error, and it can be told to stall, fail or crash. What its "model file" and
// prompts may say is in script.h. Thread rules are those of aioss/engine.h.
#pragma once

#include <memory>

#include "aioss/engine.h"
#include "base/result.h"
#include "engine/engine.h"
#include "engine/text.h"

namespace aioss::engines::fake {

const aioss_engine* entry();

// The text side of a model that this engine opened. The model must outlive it.
Result<std::unique_ptr<engine::TextModel>> open_text(engine::Model& model);

}  // namespace aioss::engines::fake
