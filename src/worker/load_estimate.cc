#include "worker/load_estimate.h"

#include <algorithm>
#include <cmath>

#include "base/clock.h"
#include "ipc/limits.h"
#include "worker/moving_average.h"

namespace aioss::worker {
namespace {

constexpr double kNewAnswersShare = 0.1;
constexpr double kAnswerUnknown = 128;
// One that is longer than answers usually are has an end, too.
constexpr double kRestMin = 8;

}  // namespace

void LoadEstimate::answered(std::uint32_t tokens) {
  follow(answer_tokens_, std::max(tokens, 1U), kNewAnswersShare);
}

double LoadEstimate::rest(std::uint32_t most, std::uint32_t made) const {
  const double usual = answer_tokens_ == 0 ? kAnswerUnknown : answer_tokens_;
  const double left = most > made ? most - made : 0;
  return std::min(left, std::max(usual - made, kRestMin));
}

std::optional<std::uint32_t> LoadEstimate::seconds(const Work& waiting, const Work& running,
                                                   std::uint32_t streams, const StepCosts& costs) {
  const double step = costs.decode_step_ns();
  const double prefill = costs.prefill_ns_per_token();
  if (step == 0 || prefill == 0 || streams == 0) return std::nullopt;
  const auto ns = [&](const Work& work) {
    return work.prompt_tokens * prefill + work.answer_tokens * step / streams;
  };
  const double total = (ns(waiting) + ns(running) / streams) / kNsPerSecond;
  return static_cast<std::uint32_t>(
      std::min(std::ceil(total), static_cast<double>(ipc::kWaitSecondsMax)));
}

}  // namespace aioss::worker
