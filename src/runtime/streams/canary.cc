#include "runtime/streams/canary.h"

#include <utility>

namespace aioss::runtime {
namespace {

// Of a completion, so that no template is needed; every tokenizer knows these words.
constexpr std::string_view kPrompt = "The capital of France is";
constexpr std::uint32_t kTokens = 8;
constexpr std::uint64_t kDeadlineMs = 120'000;  // 70B on a slow CPU need some seconds

}  // namespace

GenerateCall canary_call(const std::string& model, std::uint64_t load) {
  GenerateCall call;
  call.principal.tenant = "aioss";
  call.principal.user = "canary";
  call.principal.source = kCanarySource;
  call.model = model;
  call.canary_of = load;
  call.endpoint = kCanarySource;
  call.request.prompt = std::string(kPrompt);
  call.request.sampling.temperature = 0;
  call.request.tokens_max = kTokens;
  call.request.ignore_eos = true;
  call.request.leaves_prefix = false;
  call.request.deadline_ms = kDeadlineMs;
  return call;
}

Result<std::uint32_t> canary_answer(Stream& canary) {
  while (auto event = canary.try_next()) {
    if (const auto* failed = std::get_if<StreamFailed>(&*event)) return failed->error;
    const auto* done = std::get_if<StreamDone>(&*event);
    if (done == nullptr) continue;
    if (done->completion_tokens == kTokens) return kTokens;
    return Error{Code::kEngineFailed, "it answered " + std::to_string(done->completion_tokens) +
                                          " tokens instead of " + std::to_string(kTokens)};
  }
  return Error{Code::kEngineFailed, "its answer has no end"};
}

}  // namespace aioss::runtime
