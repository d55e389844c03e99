// A canary: a short inference of the gateway's own, by which a worker that is to take a model's
// requests over shows first that it answers. It goes the way of every request, and into the ledger
// like them. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "runtime/calls/generate_call.h"
#include "runtime/calls/stream.h"

namespace aioss::runtime {

inline constexpr std::string_view kCanarySource = "canary";  // of Principal::source

// For the worker of this load alone: Supervisor::submit() knows it by GenerateCall::canary_of.
GenerateCall canary_call(const std::string& model, std::uint64_t load);

// Once its stream has ended: how many tokens it answered, or why that was no answer.
Result<std::uint32_t> canary_answer(Stream& canary);

}  // namespace aioss::runtime
