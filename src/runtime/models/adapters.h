// The LoRA adapters of loaded models: brings them into workers before the first request that asks
// for them, keeps them while there is room, lets those go first that nobody has used for longest,
// before any model has to. Their bytes are copied into memory and hashed there
// (catalogue/adapter_copier.h), loaded by the worker, and recorded: MODEL_LOAD with the record of
// their model. Each is a lease of its own. What could not be loaded is not tried again at once.
//
// A request that waits for one stays in its model's queue; others overtake it. Runtime thread only;
// what takes time comes back as a task that names the life by its number.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "ledger/writing/ledger.h"
#include "memory/pool.h"
#include "runtime/calls/post.h"
#include "runtime/catalogue/adapter_copier.h"
#include "runtime/models/life_adapters.h"
#include "runtime/models/load_failures.h"
#include "runtime/models/model_table.h"
#include "runtime/records/tally.h"
#include "runtime/streams/stream_state.h"

namespace aioss::runtime {

class Adapters final {
 public:
  struct Parts {  // all outlive it
    const Clock& clock;
    ledger::Ledger& ledger;
    Tally& tally;
    ModelTable& models;
    memory::Pool& pool;
    AdapterCopier* copier;  // null: there are none
    Post post;
    std::function<void(Model&)> goes_on;     // those that wait for the model should be looked at
    std::function<void()> room_changed;      // some is free
    std::function<void()> less_to_wait_for;  // a record is durable
  };
  explicit Adapters(Parts parts) : parts_(std::move(parts)) {}

  // Of a life whose worker is about to be started: the descriptor that it inherits; -1: none.
  int give_memory(Life& life);

  // Whether all that the request asks for is there. What is not is being fetched (kWaits), or
  // cannot be (an error).
  enum class Stand { kThere, kWaits };
  Result<Stand> stand(Life& life, const StreamState& stream);
  // Of one that has all: they are in use until left(). In the order in which it asked.
  std::vector<LoadedAdapter> use(Life& life, const StreamState& stream);
  void left(Life& life, ipc::RequestId id);

  // What its link says, and its end. `from_inside`: the worker may have died of what it loaded.
  void on_report(Life& life, ipc::AdapterReport report);
  void ended(Life& life, bool from_inside);
  // It is idle, does nothing with adapters, and parks: it gives back those that it has, too.
  void parked(Life& life, std::string_view reason);
  // Every second while it serves: why its worker is to be killed, if it is stuck with an adapter. A
  // copy that does not get on is given up.
  std::optional<Error> check_health(Life& life);
  // Its process cannot be reaped: what it has of adapters goes there, to stay in the books.
  void leave(Life& life, std::vector<memory::Lease>& to);

  // Lets unused ones go, at least so many bytes if there are so many. What is on its way out.
  std::uint64_t give_way(std::uint64_t bytes);
  std::uint64_t leaving() const;
  std::uint64_t unused() const;  // that could go

  bool all_settled() const { return records_pending_ == 0; }

 private:
  AdapterOfLife* find(Life& life, const StreamState& stream, std::size_t wish) const;
  Status check_different(Life& life, const StreamState& stream) const;
  Status fetch(Life& life, const AdapterEntry& entry);
  std::optional<Error> failed_before(const Life& life, const AdapterEntry& entry);
  AdapterOfLife* least_used(Life& life) const;
  bool may_go(const AdapterOfLife& adapter) const;
  void unload(Life& life, AdapterOfLife& adapter);
  void on_copied(std::uint64_t number, std::uint64_t copy, const Result<Digest>& digest);
  void give_up_copy(Life& life);
  void check_copy(Life& life);
  void on_loaded(Life& life, ipc::AdapterReport report);
  void on_unloaded(Life& life, const ipc::AdapterReport& report);
  void record_load(Life& life);
  void on_recorded(std::uint64_t number, const Result<ledger::Committed>& result);
  void record_unload(std::uint64_t load_record, std::string reason);
  void fail(Life& life, const Error& error);
  void note_failure(const Life& life, const AdapterEntry& entry, const Error& error);
  void rest(Life& life);  // the step is over
  void drop_all(LifeAdapters& all, const std::string& reason);

  const Parts parts_;
  std::map<std::pair<std::string, std::string>, LoadFailures> failures_;  // by model and adapter
  // Copies that nobody wants any more and the copier still has, by their numbers: their bytes are
  // in memory until it lets go of them.
  std::map<std::uint64_t, memory::Lease> given_up_;
  std::uint64_t copies_ = 0;
  std::size_t records_pending_ = 0;
};

}  // namespace aioss::runtime
