// WorkerLink, as far as requests are concerned that come to a worker and are taken back. All but
// forget_choice() is called on the runtime thread.
#include <utility>

#include "base/assert.h"
#include "runtime/models/worker_link.h"

namespace aioss::runtime {

bool WorkerLink::admit(std::shared_ptr<StreamState> stream) {
  std::lock_guard lock(mutex_);
  if (ended_) return false;
  const ipc::RequestId id = stream->id();
  // With what this one still says of it from before, nobody could tell which is which.
  const bool is_new = requests_.emplace(id, Entry{std::move(stream), 0, 0}).second;
  ASSERT(is_new);
  return true;
}

bool WorkerLink::has(ipc::RequestId id) const {
  std::lock_guard lock(mutex_);
  return requests_.contains(id);
}

void WorkerLink::submit(StreamState& stream) {
  send(stream.next_request());
}

bool WorkerLink::submit_ahead(const ipc::Submit& request) {
  ASSERT(request.prefix_only);
  {
    std::lock_guard lock(mutex_);
    if (ended_) return false;
    const bool is_new =
        requests_.emplace(request.id, Entry{nullptr, 0, ipc::open_choices(request)}).second;
    ASSERT(is_new);
  }
  send(request);
  return true;
}

std::shared_ptr<StreamState> WorkerLink::release(ipc::RequestId id) {
  std::shared_ptr<StreamState> stream;
  {
    std::lock_guard turn(handing_on_);
    std::lock_guard lock(mutex_);
    const auto found = requests_.find(id);
    if (found == requests_.end() || ended_) return nullptr;
    Entry& entry = found->second;
    if (!entry.stream || entry.cancel_seconds > 0 || !entry.stream->interrupted()) return nullptr;
    stream = std::move(entry.stream);
    entry.stream.reset();
    entry.ends_due = stream->choices_open();
  }
  cancel(id);
  return stream;
}

void WorkerLink::cancel(ipc::RequestId id) {
  {
    std::lock_guard lock(mutex_);
    const auto found = requests_.find(id);
    if (found == requests_.end() || found->second.cancel_seconds > 0) return;
    found->second.cancel_seconds = 1;
  }
  send(ipc::Cancel{id});
}

void WorkerLink::give_credit(const ipc::Credit& credit) {
  {
    std::lock_guard lock(mutex_);
    if (!requests_.contains(credit.id)) return;
  }
  send(credit);
}

void WorkerLink::forget_choice(ipc::RequestId id) {
  std::lock_guard lock(mutex_);
  const auto found = requests_.find(id);
  if (found != requests_.end() && --found->second.ends_due == 0) requests_.erase(found);
}

}  // namespace aioss::runtime
