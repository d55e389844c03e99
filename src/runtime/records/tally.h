// What anybody can cause thousands of times a second and the ledger is to know all the same:
// refusals at the door (AUTH) and decisions (DECISION). They are counted here and written once a
// second, one record for each kind of event, so that a flood can fill neither the ledger's queue
// nor its disk. What the ledger does not take is kept and tried again. Thread-safe; counting takes
// a short lock and never waits for the ledger.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "ledger/writing/ledger.h"
#include "runtime/records/records.h"

namespace aioss::runtime {

// Different events of one second. Of more than these the model and the tenant are left out: what
// then remains are the words of the program, and these are few.
inline constexpr std::size_t kTallyEventsMax = 64;

class Tally final : public std::enable_shared_from_this<Tally> {
 public:
  explicit Tally(const Clock& clock) : clock_(clock) {}  // outlives what is shared of this

  void refused(std::string_view auth_reason);  // a name in ledger::auth_reason
  void decided(records::Decision decision);

  // Appends one record for each event since the last flush. Does not wait for them.
  void flush(ledger::Ledger& ledger);

 private:
  struct Event {
    ledger::RecordType type{};
    records::Decision what;  // of AUTH, the reason alone
    auto operator<=>(const Event&) const = default;
  };
  void add(Event event, const records::Counted& counted);

  const Clock& clock_;
  std::mutex mutex_;
  std::map<Event, records::Counted> events_;  // guarded by mutex_
};

}  // namespace aioss::runtime
