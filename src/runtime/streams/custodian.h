// The thread that waits for the disk in the streams' place: for the secrets of a user who has never
// asked before, and for sealed texts. So neither the runtime thread nor a link's reader ever does.
// Jobs are carried out in the order of their coming.
#pragma once

#include <cstddef>
#include <functional>
#include <thread>

#include "base/bounded_queue.h"
#include "base/drive.h"
#include "ledger/custody/custody.h"

namespace aioss::runtime {

class Custodian final {
 public:
  // A stream has one job at a time, so `streams_max` is how many there can be. The custody outlives
  // the custodian.
  Custodian(ledger::Custody& custody, std::size_t streams_max, Drive drive = Drive::kThread);
  ~Custodian();  // carries out what is queued, then ends
  Custodian(const Custodian&) = delete;
  Custodian& operator=(const Custodian&) = delete;

  using Job = std::function<void(ledger::Custody&)>;
  // Thread-safe, never blocks. False: the gateway is gone.
  bool post(Job job);
  // Driven by hand: carries out one job. False: there is none.
  bool run_pending();
  std::size_t queued() const { return jobs_.size(); }

 private:
  void run();

  ledger::Custody& custody_;
  BoundedQueue<Job> jobs_;
  std::thread thread_;
};

}  // namespace aioss::runtime
