// Sequences that wait for a stream, and whose turn it is.
//
// Within a class tenants take turns: next is the one that was given the fewest tokens (prompt and
// answer) for its weight since it came; within a tenant, first come, first served. So a tenant with
// a thousand requests delays another one's first by a turn, not by a thousand. A tenant that comes,
// or comes back, to a class begins level with who had its last turn, so that it can save nothing up
// while it asks for nothing. Start-time fair queueing (Goyal, Vin, Cheng, SIGCOMM 1996), whose
// virtual time each class has for itself.
//
// Of the classes interactive goes first, but of every kTurnsOfClasses turns one is batch's, if it
// waits: weighted round robin with 7 : 1 (Katevenis et al., IEEE JSAC 1991), so that batch waits
// for at most seven turns, however many interactive requests there are.
//
// Values; used by the engine thread alone. As many accounts as there are tenants with requests
// here.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <unordered_map>
#include <vector>

#include "worker/sequence.h"

namespace aioss::worker {

using Tenant = std::uint64_t;  // 0: nobody in particular
using ipc::Priority;

inline constexpr std::uint32_t kTurnsOfClasses = 8;

class FairQueue final {
 public:
  // A request of the tenant is here, until it leaves. Its newest weight holds.
  void enter(const ipc::Submit& request);
  void leave(const ipc::Submit& request);
  // Tokens that were computed for it.
  void charge(const ipc::Submit& request, std::uint64_t tokens);
  // Of its tenant in its class: tokens for the weight, as turns are counted.
  std::uint64_t served(const ipc::Submit& request) const;

  void push(Sequence& sequence) { of(sequence).push_back(&sequence); }
  void remove(Sequence& sequence) { std::erase(of(sequence), &sequence); }
  bool empty() const { return waiting_[0].empty() && waiting_[1].empty(); }
  bool waits(Priority priority) const { return !waiting_[index(priority)].empty(); }
  std::size_t size() const { return waiting_[0].size() + waiting_[1].size(); }
  const std::deque<Sequence*>& waiting(Priority priority) const {
    return waiting_[index(priority)];
  }

  // Whose turn it is of the classes that wait, here or elsewhere; nothing: none waits.
  std::optional<Priority> turn(bool interactive_waits, bool batch_waits) const;
  // This one got a stream; `batch_waits`: then, itself included.
  void had_turn(const Sequence& sequence, bool batch_waits);
  void forget_turns() { turns_ = 0; }       // that batch was passed over
  Sequence& next(Priority priority) const;  // which waits

  // Requests with a sequence that waits.
  void request_waits(Tenant tenant, Priority priority);
  void request_waits_no_more(Tenant tenant, Priority priority);
  std::uint32_t requests() const { return requests_[0] + requests_[1]; }
  std::uint32_t requests(Priority priority) const { return requests_[index(priority)]; }
  std::uint32_t requests_of(Tenant tenant) const;
  bool has_accounts() const { return !accounts_.empty(); }

  // Of the tenants with the most requests, at most `most`.
  std::vector<ipc::TenantLoad> loads(std::size_t most) const;

 private:
  struct Account {
    std::array<std::uint64_t, 2> served{};    // by class: tokens × kWeightMax / weight
    std::array<std::uint32_t, 2> requests{};  // by class
    std::uint64_t tokens = 0;
    std::uint32_t weight = ipc::kWeightDefault;
    std::uint32_t requests_waiting = 0;
  };
  static std::size_t index(Priority priority) { return static_cast<std::size_t>(priority); }
  std::deque<Sequence*>& of(const Sequence& sequence) {
    return waiting_[index(sequence.request.submit.priority)];
  }

  std::unordered_map<Tenant, Account> accounts_;
  std::array<std::deque<Sequence*>, 2> waiting_;  // by class, in order of arrival
  std::array<std::uint32_t, 2> requests_{};
  std::array<std::uint64_t, 2> virtual_time_{};  // by class: what who had the last turn was served
  std::uint32_t turns_ = 0;                      // of interactive, while batch waited
};

}  // namespace aioss::worker
