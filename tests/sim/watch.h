// What must hold at every step between gateway and workers, watched from outside: credit, queues,
// turns, spilled bytes, and who has been with a worker that ended. One for each run.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "ipc/messages.h"
#include "tests/sim/scenario.h"
#include "tests/sim/world.h"

namespace aioss::sim {

class Watch final {
 public:
  Watch(World& world, const Scenario& scenario) : world_(world), scenario_(scenario) {}

  // The gateway took a client's request on, by this number.
  void admitted(ipc::RequestId id, const ClientPlan& plan);
  void cancelled(ipc::RequestId id) { fates_.at(id).cancelled = true; }
  // A worker got a frame, sent one, and that one arrived.
  void given(std::uint64_t worker, const ipc::ToWorker& message);
  void said(std::uint64_t worker, const ipc::FromWorker& message);
  void arrived(const ipc::FromWorker& message);
  void lost(std::uint64_t worker);  // with all it had not delivered
  void survived(ipc::RequestId id) { ++fates_.at(id).workers_lost; }
  void load_died() { ++loads_died_; }  // a worker ended by itself before it was ready
  bool has_load_died() const { return loads_died_ > 0; }
  // A client took this much of an answer.
  void taken(ipc::RequestId id, std::uint64_t cost) { fates_.at(id).unread -= cost; }

  bool is_poison(ipc::RequestId id) const;
  // Workers that it was with, and that are gone.
  std::uint32_t workers_lost(ipc::RequestId id) const { return fates_.at(id).workers_lost; }

 private:
  struct Fate {
    std::uint64_t tenant = 0;
    std::uint32_t choices = 1;
    ipc::Priority priority{};
    bool is_poison = false, cancelled = false;
    std::uint32_t workers_lost = 0;
    std::uint64_t unread = 0, in_flight = 0;  // as ipc::cost_of counts
  };
  // Of one request in one worker.
  struct Stay {
    bool resumed = false;
    bool started = false;
    bool waits_as_newcomer = false;
    bool is_short = false;          // its prompt
    std::uint32_t starts_seen = 0;  // of others, while it waits
    std::uint32_t open = 1;
  };
  struct Worker {
    std::map<ipc::RequestId, Stay> stays;
    std::uint32_t resumed = 0;
  };

  void accepted(Worker& worker, const ipc::Accepted& message);
  void started(Worker& worker, ipc::RequestId id);
  void spent(ipc::RequestId id, const ipc::Delta& delta);
  void check(const Worker& worker, const ipc::Stats& stats);

  World& world_;
  const Scenario& scenario_;
  std::map<ipc::RequestId, Fate> fates_;
  std::map<std::uint64_t, Worker> workers_;
  std::uint32_t loads_died_ = 0;
};

}  // namespace aioss::sim
