#include "worker/fair_queue.h"

#include <algorithm>

#include "base/assert.h"

namespace aioss::worker {

void FairQueue::enter(const ipc::Submit& request) {
  ASSERT(request.weight >= 1 && request.weight <= ipc::kWeightMax);
  const std::size_t c = index(request.priority);
  Account& account = accounts_[request.tenant];
  account.weight = request.weight;
  if (account.requests[c]++ == 0) {
    account.served[c] = std::max(account.served[c], virtual_time_[c]);
  }
}

void FairQueue::leave(const ipc::Submit& request) {
  const auto known = accounts_.find(request.tenant);
  ASSERT(known != accounts_.end() && known->second.requests[index(request.priority)] > 0);
  auto& requests = known->second.requests;
  --requests[index(request.priority)];
  if (requests[0] + requests[1] == 0) accounts_.erase(known);
}

void FairQueue::charge(const ipc::Submit& request, std::uint64_t tokens) {
  Account& account = accounts_.at(request.tenant);
  account.tokens += tokens;
  account.served[index(request.priority)] += tokens * ipc::kWeightMax / account.weight;
}

std::uint64_t FairQueue::served(const ipc::Submit& request) const {
  return accounts_.at(request.tenant).served[index(request.priority)];
}

std::optional<Priority> FairQueue::turn(bool interactive_waits, bool batch_waits) const {
  if (!interactive_waits && !batch_waits) return std::nullopt;
  const bool batch = batch_waits && (!interactive_waits || turns_ + 1 >= kTurnsOfClasses);
  return batch ? Priority::kBatch : Priority::kInteractive;
}

void FairQueue::had_turn(const Sequence& sequence, bool batch_waits) {
  const Priority priority = sequence.request.submit.priority;
  std::uint64_t& now = virtual_time_[index(priority)];
  now = std::max(now, served(sequence.request.submit));
  const bool passed_over = priority == Priority::kInteractive && batch_waits;
  turns_ = passed_over ? turns_ + 1 : 0;
}

Sequence& FairQueue::next(Priority priority) const {
  const std::deque<Sequence*>& waiting = this->waiting(priority);
  ASSERT(!waiting.empty());
  // The first of equals: the one that came first.
  Sequence* first = nullptr;
  std::uint64_t least = 0;
  for (Sequence* const sequence : waiting) {
    const std::uint64_t served = this->served(sequence->request.submit);
    if (first != nullptr && served >= least) continue;
    first = sequence;
    least = served;
  }
  return *first;
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
    loads.push_back(
        {tenant, waiting, account.requests[0] + account.requests[1] - waiting, account.tokens});
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
