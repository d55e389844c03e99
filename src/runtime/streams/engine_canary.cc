#include "runtime/streams/engine_canary.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <string_view>
#include <utility>

#include "runtime/streams/canary.h"

namespace aioss::runtime {
namespace {

// Completions, so that no template is needed, of different lengths. What follows is likely, so that
// engines that differ a little agree, and one that computes something else does not.
constexpr std::array<std::string_view, kEngineCanaries> kPrompts{
    "The capital of France is", "1, 2, 3, 4, 5, 6, 7, 8, 9,",
    "Monday, Tuesday, Wednesday, Thursday,",
    "To be, or not to be, that is the question: Whether 'tis nobler in the mind to suffer"};
constexpr std::uint32_t kTokens = 8;
constexpr std::uint32_t kTop = 20;
// The running engine answers between its other requests: with all its streams taken by long ones it
// may be minutes.
constexpr std::uint64_t kDeadlineMs = 120'000;

constexpr float kDifferenceMax = 2.0F;   // nats
constexpr float kDifferenceMean = 0.5F;  // likewise
constexpr std::uint32_t kSamePercent = 50;

struct Found {
  float logprob = 0;
  bool missing = false;
};

// One that is not among the likeliest is at most as likely as the last of them.
Found find(const ipc::TokenLogprob& in, ipc::Token token) {
  if (in.token == token) return {in.logprob, false};
  float least = in.logprob;
  for (const auto& top : in.top) {
    if (top.token == token) return {top.logprob, false};
    least = std::min(least, top.logprob);
  }
  return {least, true};
}

std::string shown(float value) {
  std::array<char, 32> text{};
  const int length = std::snprintf(text.data(), text.size(), "%.3f", static_cast<double>(value));
  return {text.data(), static_cast<std::size_t>(std::max(length, 0))};
}

}  // namespace

GenerateCall engine_canary_call(const std::string& model, std::uint64_t life, std::size_t index) {
  GenerateCall call = canary_call(model, life);
  call.request.prompt = std::string(kPrompts.at(index));
  call.request.tokens_max = kTokens;
  call.request.logprobs = true;
  call.request.top_logprobs = kTop;
  call.request.deadline_ms = kDeadlineMs;
  return call;
}

Result<CanaryTokens> engine_canary_answer(Stream& canary) {
  CanaryTokens tokens;
  while (auto event = canary.try_next()) {
    if (const auto* failed = std::get_if<StreamFailed>(&*event)) return failed->error;
    if (auto* delta = std::get_if<StreamDelta>(&*event)) {
      for (ipc::TokenLogprob& one : delta->logprobs) tokens.push_back(std::move(one));
    }
    if (!std::holds_alternative<StreamDone>(*event)) continue;
    if (tokens.size() == kTokens) return tokens;
    return Error{Code::kEngineFailed, "it answered " + std::to_string(tokens.size()) +
                                          " tokens instead of " + std::to_string(kTokens)};
  }
  return Error{Code::kEngineFailed, "its answer has no end"};
}

CanaryComparison compare(const std::vector<CanaryTokens>& running,
                         const std::vector<CanaryTokens>& coming) {
  CanaryComparison out;
  float sum = 0;
  for (std::size_t prompt = 0; prompt < std::min(running.size(), coming.size()); ++prompt) {
    const std::size_t length = std::min(running[prompt].size(), coming[prompt].size());
    for (std::size_t i = 0; i < length; ++i) {
      const ipc::TokenLogprob& was = running[prompt][i];
      const ipc::TokenLogprob& is = coming[prompt][i];
      const Found found = find(is, was.token);
      const float difference = std::abs(was.logprob - found.logprob);
      ++out.compared;
      out.missing += found.missing ? 1 : 0;
      // What is no number is as far away as can be.
      const float counted = std::isfinite(difference) ? difference : 1e6F;
      out.difference_max = std::max(out.difference_max, counted);
      sum += counted;
      if (is.token != was.token) break;
      ++out.same;
    }
  }
  if (out.compared > 0) out.difference_mean = sum / static_cast<float>(out.compared);
  return out;
}

std::string CanaryComparison::text() const {
  return "tokens=" + std::to_string(compared) + " same=" + std::to_string(same) +
         " unlikely=" + std::to_string(missing) +
         " logprob_difference_max=" + shown(difference_max) +
         " logprob_difference_mean=" + shown(difference_mean);
}

Status judge(const CanaryComparison& found) {
  const bool same = found.compared > 0 && 100 * found.same >= kSamePercent * found.compared;
  const bool near =
      found.difference_max <= kDifferenceMax && found.difference_mean <= kDifferenceMean;
  if (same && near && found.missing == 0) return ok();
  return Error{Code::kEngineFailed,
               "it computes something else than the running engine: " + found.text()};
}

}  // namespace aioss::runtime
