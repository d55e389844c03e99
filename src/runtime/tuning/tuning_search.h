// How candidates are looked for and measured: one setting after another, the largest gains first,
// each time from the best so far, until the time is over. A candidate is measured beside what is
// computed without tuning, in turns, so that a busy machine harms both alike; the best of several
// runs counts. How something is computed, a TuneBench knows. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "runtime/settings/tuning_choice.h"

namespace aioss::runtime {

// What may be tried. The default comes first in each, and is all there is where nothing is.
struct TuningSpace {
  std::vector<std::string> engines;          // not empty
  ipc::Knobs fixed;                          // what an operator has set; 0: nothing
  std::vector<std::uint32_t> threads;        // other than the default
  std::vector<std::uint32_t> micro_batches;  // likewise
  bool flash_attention = false;              // on and off
  // Outside the profile fast: a candidate must agree with the default in each token.
  bool keeps_bits = false;
};

// Sessions that compute: the default's, and beside it that of one candidate.
class TuneBench {
 public:
  enum class Place { kDefault, kCandidate };
  struct Figures {
    std::uint32_t tokens = 0;
    std::uint64_t ns = 0;
  };
  virtual ~TuneBench() = default;
  // A session that has passed its canary, in place of the one before; what the canary said. Errors:
  // kUnsupported: the engine cannot do this. kTimeout: `until_ns` came first. kShuttingDown.
  // Otherwise it is not safe.
  virtual Result<std::vector<ipc::Token>> begin(Place place, const TuneCandidate& candidate,
                                                std::int64_t until_ns) = 0;
  virtual Result<Figures> run(Place place, ipc::Regime regime, std::uint32_t tokens,
                              std::int64_t until_ns) = 0;
  virtual void end(Place place) = 0;
  virtual std::uint32_t streams() const = 0;  // that decode together, once the default has begun
};

struct TuningResult {
  std::vector<TuneMeasurement> measurements;  // the default first
  TuneChoice choice;
  std::uint32_t streams = 0;
  bool in_time = true;  // nothing was left out
  const TuneCandidate& chosen() const { return measurements[choice.index].candidate; }
};

using TuningProgress = std::function<void(const TuneMeasurement&)>;
// At most about `budget_ns`. Fails if the default cannot be measured at all.
Result<TuningResult> search(const TuningSpace& space, TuneBench& bench, const Clock& clock,
                            std::int64_t budget_ns, const TuningProgress& progress = {});

}  // namespace aioss::runtime
