// Sequences that wait for a stream, and whose turn it is: of the tenants that wait, the one that
// was given the fewest tokens (prompt and answer) since it came; within a tenant, first come, first
// served. So a tenant with a thousand requests delays another one's first by a turn, not by a
// thousand. A tenant that comes, or comes back, begins level with the least served: it can save
// nothing up. Start-time fair queueing with equal weights (Goyal, Vin, Cheng, SIGCOMM 1996).
//
// Values; used by the engine thread alone. As many accounts as there are tenants with requests
// here.
#pragma once

#include <cstdint>
#include <deque>
#include <unordered_map>

#include "worker/sequence.h"

namespace aioss::worker {

using Tenant = std::uint64_t;  // 0: nobody in particular

class FairQueue final {
 public:
  // A request of the tenant is here, until it leaves.
  void enter(Tenant tenant);
  void leave(Tenant tenant);
  // Tokens that were computed for it.
  void charge(Tenant tenant, std::uint64_t tokens);
  std::uint64_t served(Tenant tenant) const { return accounts_.at(tenant).served; }

  void push(Sequence& sequence) { waiting_.push_back(&sequence); }
  void remove(Sequence& sequence) { std::erase(waiting_, &sequence); }
  bool empty() const { return waiting_.empty(); }
  std::size_t size() const { return waiting_.size(); }
  Sequence& next() const;  // not empty
  Sequence& take();        // and waits no more

  // Requests with a sequence that waits.
  void request_waits(Tenant tenant);
  void request_waits_no_more(Tenant tenant);
  std::uint32_t requests() const { return requests_; }
  std::uint32_t requests_of(Tenant tenant) const;
  bool has_accounts() const { return !accounts_.empty(); }

 private:
  struct Account {
    std::uint64_t served = 0;  // tokens, on a clock that all share
    std::uint32_t requests = 0;
    std::uint32_t requests_waiting = 0;
  };
  std::unordered_map<Tenant, Account> accounts_;
  std::deque<Sequence*> waiting_;  // in order of arrival
  std::uint32_t requests_ = 0;
};

}  // namespace aioss::worker
