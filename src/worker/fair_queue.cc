#include "worker/fair_queue.h"

#include <algorithm>
#include <limits>

#include "base/assert.h"

namespace aioss::worker {

void FairQueue::enter(Tenant tenant, std::uint32_t weight) {
  ASSERT(weight >= 1 && weight <= ipc::kWeightMax);
  const auto known = accounts_.find(tenant);
  if (known != accounts_.end()) {
    ++known->second.requests;
    known->second.weight = weight;
    return;
  }
  std::uint64_t least = std::numeric_limits<std::uint64_t>::max();
  for (const auto& [other, account] : accounts_) least = std::min(least, account.served);
  Account account;
  account.served = accounts_.empty() ? 0 : least;
  account.weight = weight;
  account.requests = 1;
  accounts_.emplace(tenant, account);
}

void FairQueue::leave(Tenant tenant) {
  const auto known = accounts_.find(tenant);
  ASSERT(known != accounts_.end() && known->second.requests > 0);
  if (--known->second.requests == 0) accounts_.erase(known);
}

void FairQueue::charge(Tenant tenant, std::uint64_t tokens) {
  Account& account = accounts_.at(tenant);
  account.tokens += tokens;
  account.served += tokens * ipc::kWeightMax / account.weight;
}

std::optional<Priority> FairQueue::turn(bool interactive_waits, bool batch_waits) const {
  if (!interactive_waits && !batch_waits) return std::nullopt;
  const bool batch = batch_waits && (!interactive_waits || turns_ + 1 >= kTurnsOfClasses);
  return batch ? Priority::kBatch : Priority::kInteractive;
}

void FairQueue::had_turn(Priority priority, bool batch_waits) {
  const bool passed_over = priority == Priority::kInteractive && batch_waits;
  turns_ = passed_over ? turns_ + 1 : 0;
}

Sequence& FairQueue::next(Priority priority) const {
  const std::deque<Sequence*>& waiting = this->waiting(priority);
  ASSERT(!waiting.empty());
  const auto served = [this](const Sequence* sequence) {
    return accounts_.at(sequence->request.submit.tenant).served;
  };
  // The first of equals: the one that came first.
  return **std::min_element(
      waiting.begin(), waiting.end(),
      [&](const Sequence* a, const Sequence* b) { return served(a) < served(b); });
}

void FairQueue::request_waits(Tenant tenant, Priority priority) {
  ++accounts_.at(tenant).requests_waiting;
  ++requests_[index(priority)];
}

void FairQueue::request_waits_no_more(Tenant tenant, Priority priority) {
  --accounts_.at(tenant).requests_waiting;
  --requests_[index(priority)];
}

std::uint32_t FairQueue::requests_of(Tenant tenant) const {
  const auto known = accounts_.find(tenant);
  return known == accounts_.end() ? 0 : known->second.requests_waiting;
}

std::vector<ipc::TenantLoad> FairQueue::loads(std::size_t most) const {
  std::vector<ipc::TenantLoad> loads;
  for (const auto& [tenant, account] : accounts_) {
    const std::uint32_t waiting = account.requests_waiting;
    loads.push_back({tenant, waiting, account.requests - waiting, account.tokens});
  }
  const auto rank = [](const ipc::TenantLoad& load) {
    return std::pair(std::uint64_t{load.waiting} + load.running, load.tenant);
  };
  std::sort(loads.begin(), loads.end(),
            [&](const ipc::TenantLoad& a, const ipc::TenantLoad& b) { return rank(a) > rank(b); });
  if (loads.size() > most) loads.resize(most);
  return loads;
}

}  // namespace aioss::worker
