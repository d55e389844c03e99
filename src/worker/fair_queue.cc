#include "worker/fair_queue.h"

#include <algorithm>
#include <limits>

#include "base/assert.h"

namespace aioss::worker {

void FairQueue::enter(Tenant tenant) {
  const auto known = accounts_.find(tenant);
  if (known != accounts_.end()) {
    ++known->second.requests;
    return;
  }
  std::uint64_t least = std::numeric_limits<std::uint64_t>::max();
  for (const auto& [other, account] : accounts_) least = std::min(least, account.served);
  accounts_.emplace(tenant, Account{accounts_.empty() ? 0 : least, 1, 0});
}

void FairQueue::leave(Tenant tenant) {
  const auto known = accounts_.find(tenant);
  ASSERT(known != accounts_.end() && known->second.requests > 0);
  if (--known->second.requests == 0) accounts_.erase(known);
}

void FairQueue::charge(Tenant tenant, std::uint64_t tokens) {
  accounts_.at(tenant).served += tokens;
}

Sequence& FairQueue::next() const {
  ASSERT(!waiting_.empty());
  const auto served = [this](const Sequence* sequence) {
    return accounts_.at(sequence->request.submit.tenant).served;
  };
  // The first of equals: the one that came first.
  return **std::min_element(
      waiting_.begin(), waiting_.end(),
      [&](const Sequence* a, const Sequence* b) { return served(a) < served(b); });
}

Sequence& FairQueue::take() {
  Sequence& sequence = next();
  remove(sequence);
  return sequence;
}

void FairQueue::request_waits(Tenant tenant) {
  ++accounts_.at(tenant).requests_waiting;
  ++requests_;
}

void FairQueue::request_waits_no_more(Tenant tenant) {
  --accounts_.at(tenant).requests_waiting;
  --requests_;
}

std::uint32_t FairQueue::requests_of(Tenant tenant) const {
  const auto known = accounts_.find(tenant);
  return known == accounts_.end() ? 0 : known->second.requests_waiting;
}

}  // namespace aioss::worker
