// The TuneBench of gateways and of `aioss tune`: processes that measure (tune_child.h), one for
// each engine that is needed at the moment. One that dies takes a candidate with it; the default's
// session is begun again in another one. Blocks; one thread.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "runtime/tuning/tune_child.h"
#include "runtime/tuning/tuning_search.h"

namespace aioss::runtime {

class ChildBench final : public TuneBench {
 public:
  struct Parts {  // all outlive it
    const OpenModel& files;
    std::string executable;
    std::shared_ptr<plugins::EngineTable> engines;  // null: what the executable has in itself
    ipc::TuneOpen open;                             // of any engine: its name is set for each
    const Clock& clock;
    const std::atomic<bool>& stop;
  };
  explicit ChildBench(Parts parts) : parts_(std::move(parts)) {}

  // Loads the model with this engine ahead of time, so that this is not counted as measuring.
  Status open(const std::string& engine);

  Result<std::vector<ipc::Token>> begin(Place place, const TuneCandidate& candidate,
                                        std::int64_t until_ns) override;
  Result<Figures> run(Place place, ipc::Regime regime, std::uint32_t tokens,
                      std::int64_t until_ns) override;
  void end(Place place) override;
  std::uint32_t streams() const override { return streams_; }
  std::uint64_t children_started() const { return children_; }

 private:
  Result<TuneChild*> child_of(const std::string& engine, std::int64_t until_ns);
  Status begin_default_again(std::int64_t until_ns);

  const Parts parts_;
  std::map<std::string, std::unique_ptr<TuneChild>> open_;  // by engine
  std::optional<TuneCandidate> default_, candidate_;
  bool default_is_begun_ = false;  // in the process that its engine has now
  std::uint32_t streams_ = 0;
  std::uint64_t children_ = 0;
};

}  // namespace aioss::runtime
