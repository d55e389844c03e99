// What can be said of a request at the door, without a model. Pure functions.
#pragma once

#include <cstddef>

#include "base/result.h"
#include "runtime/calls/generate_call.h"
#include "runtime/calls/model_entry.h"

namespace aioss::runtime {

// kTooLarge: the prompt is over its tenant's limit.
Status check_limits(const GenerateCall& call);
// kInvalidArgument: adapters out of bounds, or one twice; kNotFound: one that the model does not
// have.
Status check_adapters(const GenerateCall& call, const ModelEntry& model, ipc::Profile profile);
// The bytes of its frame; kTooLarge, or kInvalidArgument: a worker would not take it.
Result<std::size_t> check_frame(const ipc::Submit& request);

}  // namespace aioss::runtime
