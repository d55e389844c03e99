#include "runtime/records/tally.h"

#include <algorithm>
#include <utility>

namespace aioss::runtime {

using ledger::RecordType;

void Tally::refused(std::string_view auth_reason) {
  const std::int64_t now = clock_.wall_ns();
  Event event{RecordType::kAuth, {}};
  event.what.reason = auth_reason;
  add(std::move(event), {1, now, now});
}

void Tally::decided(records::Decision decision) {
  const std::int64_t now = clock_.wall_ns();
  add({RecordType::kDecision, std::move(decision)}, {1, now, now});
}

void Tally::add(Event event, const records::Counted& counted) {
  std::lock_guard lock(mutex_);
  if (events_.size() >= kTallyEventsMax && events_.find(event) == events_.end()) {
    event.what.model.clear();
    event.what.tenant.clear();
    event.what.details.clear();
  }
  const auto [found, fresh] = events_.try_emplace(std::move(event), counted);
  if (fresh) return;
  records::Counted& all = found->second;
  all.count += counted.count;
  all.first_wall_ns = std::min(all.first_wall_ns, counted.first_wall_ns);
  all.last_wall_ns = std::max(all.last_wall_ns, counted.last_wall_ns);
}

void Tally::flush(ledger::Ledger& ledger) {
  std::map<Event, records::Counted> events;
  {
    std::lock_guard lock(mutex_);
    events.swap(events_);
  }
  for (auto& [event, counted] : events) {
    codec::Map body = event.type == RecordType::kAuth ? records::auth(event.what.reason, counted)
                                                      : records::decision(event.what, counted);
    ledger.append(event.type, std::move(body),
                  [self = weak_from_this(), event, counted](const auto& result) {
                    const auto alive = self.lock();
                    if (!result && alive) alive->add(event, counted);
                  });
  }
}

}  // namespace aioss::runtime
