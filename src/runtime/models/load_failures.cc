#include "runtime/models/load_failures.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "runtime/catalogue/catalogue.h"

namespace aioss::runtime {
namespace {

constexpr std::uint32_t kDoublingsMax = 16;  // far more than lead to kRetryMaxNs

}  // namespace

void LoadFailures::note(Error why, std::vector<os::FileInfo> parts, std::int64_t now_ns) {
  const std::uint32_t doublings = std::min(count_++, kDoublingsMax);
  retry_ns_ = now_ns + std::min(kRetryFirstNs << doublings, kRetryMaxNs);
  why_ = std::move(why);
  parts_ = std::move(parts);
}

bool LoadFailures::are_of(const std::vector<os::FileInfo>& parts) const {
  return std::equal(parts_.begin(), parts_.end(), parts.begin(), parts.end(), is_same_file);
}

bool LoadFailures::is_lasting() const {
  return any() && (why_.code == Code::kModelCorrupt || why_.code == Code::kUnsupported ||
                   why_.code == Code::kNotFound || why_.code == Code::kInvalidArgument);
}

Error LoadFailures::refusal(std::int64_t now_ns) const {
  ModelWait wait;
  wait.state = "failed";
  const std::int64_t left_ns = std::max<std::int64_t>(retry_ns_ - now_ns, 0);
  wait.estimate_seconds = static_cast<std::uint32_t>((left_ns + kNsPerSecond - 1) / kNsPerSecond);
  return Error(why_).with_wait(std::move(wait));
}

}  // namespace aioss::runtime
