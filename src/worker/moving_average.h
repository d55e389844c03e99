// A mean of what was measured of late, in one number: exponential, 0 until something was measured.
#pragma once

namespace aioss::worker {

// Follows a change of load within a few steps and smooths a single outlier.
inline constexpr double kNewShare = 0.2;

// `new_share`: of the newest value, 0 … 1.
inline void follow(double& average, double value, double new_share = kNewShare) {
  average = average == 0 ? value : average + new_share * (value - average);
}

}  // namespace aioss::worker
