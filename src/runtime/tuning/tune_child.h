// One process that measures: starts `aioss worker --tune` with a model's files and, if it is a
// plugin, its engine, and hands it questions one at a time. It has parsed an untrusted file and
// runs somebody's engine, so what it says is bounded, checked and cut; one that hangs is killed.
// Blocks; one thread at a time.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "ipc/channel.h"
#include "ipc/tune.h"
#include "os/process.h"
#include "runtime/catalogue/catalogue.h"
#include "runtime/catalogue/engines.h"

namespace aioss::runtime {

class TuneChild final {
 public:
  struct Options {
    std::string executable = "/proc/self/exe";
    EngineImagePointer engine;  // null or linked: the executable has it in itself
  };
  // `clock` and `stop` outlive it.
  static Result<std::unique_ptr<TuneChild>> start(const OpenModel& files, const Options& options,
                                                  const Clock& clock,
                                                  const std::atomic<bool>& stop);
  // Kills it.
  ~TuneChild();
  TuneChild(const TuneChild&) = delete;
  TuneChild& operator=(const TuneChild&) = delete;

  // kTimeout if there is no answer at `until_ns`, kShuttingDown soon after `stop` is set,
  // kWorkerDied if it crashed or spoke nonsense: then it is gone. Otherwise what it reported.
  Result<ipc::TuneReport> ask(const ipc::TuneAsk& ask, std::int64_t until_ns);
  bool is_alive() const { return child_ != nullptr; }

 private:
  TuneChild(os::Child child, os::Fd socket, const Clock& clock, const std::atomic<bool>& stop);
  Result<Bytes> receive(std::int64_t until_ns);
  Error lose(Error why);
  Error died();

  const Clock& clock_;
  const std::atomic<bool>& stop_;
  ipc::Channel channel_;
  Bytes received_;
  std::unique_ptr<os::Child> child_;  // null: it is gone
};

}  // namespace aioss::runtime
