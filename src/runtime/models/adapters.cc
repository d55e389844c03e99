#include "runtime/models/adapters.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <string>

#include "base/assert.h"
#include "base/log.h"
#include "base/strings.h"
#include "codec/hex.h"
#include "ipc/limits.h"
#include "ledger/format/record.h"
#include "runtime/models/decide.h"
#include "runtime/records/records.h"

namespace aioss::runtime {
namespace {

using Step = LifeAdapters::Step;

const std::string kHost(memory::kHost);
constexpr std::size_t kFailuresMax = 4096;  // of pairs of model and adapter that are remembered
// Of a load in the worker, which computes nothing meanwhile: 16 GiB from memory take less.
constexpr std::int64_t kLoadMaxNs = 120'000'000'000;
// Without a byte read of any file: a disk that hangs, or one that is not there any more.
constexpr std::int64_t kStalledNs = 60'000'000'000;
// While it is loaded its bytes are there twice: as they were copied, and as the engine has them.
constexpr std::uint64_t kCopiesWhileLoading = 2;

// What a worker, which is not trusted, may claim to need for an adapter beyond its file twice, and
// for what it computes under any: it could send others away.
constexpr std::uint64_t kClaimBeyondMax = std::uint64_t{64} << 20;
constexpr std::uint64_t kComputeClaimMax = std::uint64_t{256} << 20;
// What a request has found, or had fetched, is not taken from it while it waits for others.
constexpr std::int64_t kWantedNs = 2'000'000'000;

}  // namespace

// ---- before a request ---------------------------------------------------------------------------

int Adapters::give_memory(Life& life) {
  if (parts_.copier == nullptr) return -1;
  auto memory = os::MemoryFile::create("adapters");
  if (!memory) {
    log::warn("a worker gets no adapters",
              {{"model", life.model.name}, {"reason", memory.error().message}});
    return -1;
  }
  life.adapters.memory = std::make_shared<os::MemoryFile>(std::move(*memory));
  return life.adapters.memory->reader();
}

// What the request's wish number `wish` is, if it is loaded: of an answer that has begun the one it
// has begun with, otherwise what the catalogue has by that name now.
AdapterOfLife* Adapters::find(Life& life, const StreamState& stream, std::size_t wish) const {
  const std::string& name = stream.wishes()[wish].name;
  const auto& catalogue = parts_.models.catalogue().adapters;
  const auto entry = catalogue.find(name);
  for (AdapterOfLife& adapter : life.adapters.loaded) {
    if (adapter.leaves || adapter.entry.name != name) continue;
    if (stream.has_begun()) {
      if (adapter.sha256 == stream.request().adapters[wish].adapter) return &adapter;
    } else if (entry != catalogue.end() && is_same_file(adapter.entry.file, entry->second.file)) {
      return &adapter;
    }
  }
  return nullptr;
}

Result<Adapters::Stand> Adapters::stand(Life& life, const StreamState& stream) {
  Stand stand = Stand::kThere;
  for (std::size_t i = 0; i < stream.wishes().size(); ++i) {
    if (AdapterOfLife* const found = find(life, stream, i)) {
      found->wanted_ns = parts_.clock.monotonic_ns();
      continue;
    }
    const std::string& name = stream.wishes()[i].name;
    const auto& catalogue = parts_.models.catalogue().adapters;
    const auto entry = catalogue.find(name);
    if (entry == catalogue.end()) {
      return Error{Code::kNotFound, "the file of adapter '" + name + "' is gone", "lora"};
    }
    const bool other = std::any_of(life.adapters.loaded.begin(), life.adapters.loaded.end(),
                                   [&](const AdapterOfLife& a) {
                                     return !a.leaves && a.entry.name == name &&
                                            is_same_file(a.entry.file, entry->second.file);
                                   });
    if (other) {  // and an answer that has begun with other bytes
      return Error{Code::kWorkerDied, "the worker has died, and the file of adapter '" + name +
                                          "' is another one since; try again"};
    }
    if (auto error = failed_before(life, entry->second)) return *error;
    AIOSS_CHECK(fetch(life, entry->second));
    stand = Stand::kWaits;
  }
  if (stand == Stand::kThere) AIOSS_CHECK(check_different(life, stream));
  return stand;
}

// Files of two names may have the same bytes, and a worker knows adapters by these.
Status Adapters::check_different(Life& life, const StreamState& stream) const {
  std::set<Digest> seen;
  for (std::size_t i = 0; i < stream.wishes().size(); ++i) {
    if (seen.insert(find(life, stream, i)->sha256).second) continue;
    return Error{Code::kInvalidArgument,
                 "adapter '" + stream.wishes()[i].name +
                     "' is the same as another one that is asked for; name it once",
                 "lora"};
  }
  return ok();
}

std::vector<LoadedAdapter> Adapters::use(Life& life, const StreamState& stream) {
  std::vector<LoadedAdapter> out;
  for (std::size_t i = 0; i < stream.wishes().size(); ++i) {
    AdapterOfLife* const adapter = find(life, stream, i);
    ASSERT(adapter != nullptr);
    adapter->users.insert(stream.id());
    adapter->last_used_ns = parts_.clock.monotonic_ns();
    adapter->wanted_ns = 0;
    out.push_back(
        {{adapter->sha256, stream.wishes()[i].scale}, adapter->entry.name, adapter->load_record});
  }
  return out;
}

void Adapters::left(Life& life, ipc::RequestId id) {
  for (AdapterOfLife& adapter : life.adapters.loaded) {
    if (adapter.users.erase(id) > 0) adapter.last_used_ns = parts_.clock.monotonic_ns();
  }
}

// ---- fetching one -------------------------------------------------------------------------------

// One at a time: what else is wanted is looked at again when that is through.
Status Adapters::fetch(Life& life, const AdapterEntry& entry) {
  LifeAdapters& all = life.adapters;
  if (all.memory == nullptr) {
    return Error{Code::kUnsupported, "this server loads no adapters", "lora"};
  }
  if (all.step != Step::kNone) return ok();
  if (all.loaded.size() >= ipc::kAdaptersLoadedMax) {
    AdapterOfLife* const least = least_used(life);
    if (least == nullptr) {
      return Error{Code::kBusy,
                   "model '" + life.model.name +
                       "' has as many adapters in use as it "
                       "can have; try again later",
                   "lora"};
    }
    unload(life, *least);
    return ok();
  }
  const std::uint64_t bytes = entry.file.size * kCopiesWhileLoading;
  auto lease = parts_.pool.lease(kHost, life.holder, memory::Kind::kAdapters, bytes);
  if (!lease) {
    const std::uint64_t free = parts_.pool.balance(kHost).free;
    if (give_way(bytes - std::min(bytes, free)) > 0) return ok();  // it is on its way
    return Error{Code::kNoMemory,
                 "adapter '" + entry.name + "' needs " + human_bytes(bytes) +
                     " of memory while it is loaded, and " + human_bytes(free) +
                     " are free; try again when others are idle",
                 "lora"};
  }
  all.step = Step::kCopies;
  all.coming.emplace();
  all.coming->entry = entry;
  all.coming->lease = std::move(*lease);
  all.copy = ++copies_;
  all.copy_given_up = std::make_shared<std::atomic<bool>>(false);
  all.ordered_ns = parts_.clock.monotonic_ns();
  all.progress = parts_.copier->progress();
  parts_.copier->copy(
      entry, all.memory, parts_.models.catalogue().allowed, all.copy_given_up,
      [this, post = parts_.post, number = life.number, copy = all.copy](Result<Digest> digest) {
        post([this, number, copy, digest = std::move(digest)] { on_copied(number, copy, digest); });
      });
  return ok();
}

void Adapters::on_copied(std::uint64_t number, std::uint64_t copy, const Result<Digest>& digest) {
  if (given_up_.erase(copy) > 0) return parts_.room_changed();
  Life* const life = parts_.models.life(number);
  if (life == nullptr || !life->link) return;
  if (!digest) return fail(*life, digest.error());
  life->adapters.coming->sha256 = *digest;
  life->adapters.step = Step::kLoads;
  life->adapters.ordered_ns = parts_.clock.monotonic_ns();
  life->link->load_adapter({*digest, life->adapters.coming->entry.file.size});
}

void Adapters::on_report(Life& life, ipc::AdapterReport report) {
  if (life.adapters.step == Step::kUnloads) return on_unloaded(life, report);
  if (life.adapters.step == Step::kLoads) on_loaded(life, std::move(report));
}

void Adapters::on_loaded(Life& life, ipc::AdapterReport report) {
  LifeAdapters& all = life.adapters;
  (void)all.memory->resize(0);
  if (report.error || !report.loaded) {
    return fail(life, report.error.value_or(Error{Code::kEngineFailed, "it was not loaded"}));
  }
  all.coming->rank = report.rank;
  const std::uint64_t most = kCopiesWhileLoading * all.coming->entry.file.size + kClaimBeyondMax;
  all.coming->lease.follow(std::min(report.bytes, most));
  if (!all.compute.is_open()) {
    auto lease = parts_.pool.lease(kHost, life.holder, memory::Kind::kAdapters, 0);
    if (lease) all.compute = std::move(*lease);
  }
  all.compute.follow(std::max(all.compute.bytes() + all.compute.beyond(),
                              std::min(report.compute_bytes, kComputeClaimMax)));
  record_load(life);
}

void Adapters::record_load(Life& life) {
  const AdapterOfLife& coming = *life.adapters.coming;
  life.adapters.step = Step::kRecords;
  ++records_pending_;
  parts_.ledger.append(
      ledger::RecordType::kModelLoad,
      records::adapter_load({coming.entry.name, coming.sha256, coming.entry.file.size, coming.rank,
                             life.load_record.value_or(0)}),
      [this, post = parts_.post, number = life.number](const Result<ledger::Committed>& result) {
        post([this, number, result] { on_recorded(number, result); });
      });
}

void Adapters::on_recorded(std::uint64_t number, const Result<ledger::Committed>& result) {
  --records_pending_;
  Life* const life = parts_.models.life(number);
  if (life == nullptr || life->adapters.step != Step::kRecords) {  // it has ended meanwhile
    if (result) record_unload(result->index, std::string(ledger::unload_reason::kWorkerDied));
  } else if (!result) {
    // The worker keeps what nobody may use; the next try finds it there.
    fail(*life,
         {Code::kLedgerUnavailable, "its load cannot be recorded: " + result.error().message});
  } else {
    LifeAdapters& all = life->adapters;
    all.coming->load_record = result->index;
    all.coming->last_used_ns = all.coming->wanted_ns = parts_.clock.monotonic_ns();
    log::info("an adapter is loaded", {{"model", life->model.name},
                                       {"adapter", all.coming->entry.name},
                                       {"bytes", all.coming->lease.bytes()}});
    failures_.erase({life->model.name, all.coming->entry.name});
    all.loaded.push_back(std::move(*all.coming));
    rest(*life);
  }
  parts_.less_to_wait_for();
}

void Adapters::rest(Life& life) {
  life.adapters.coming.reset();
  life.adapters.step = Step::kNone;
  parts_.room_changed();
  parts_.goes_on(life.model);
}

// ---- what cannot be loaded ----------------------------------------------------------------------

void Adapters::fail(Life& life, const Error& error) {
  (void)life.adapters.memory->resize(0);
  note_failure(life, life.adapters.coming->entry, error);
  rest(life);
}

void Adapters::note_failure(const Life& life, const AdapterEntry& entry, const Error& error) {
  log::error("an adapter cannot be loaded",
             {{"model", life.model.name}, {"adapter", entry.name}, {"reason", error.message}});
  decide(parts_.tally, ledger::decision_kind::kLoad,
         error.code == Code::kForbidden ? ledger::decision_outcome::kRefused
                                        : ledger::decision_outcome::kFailed,
         info(error.code).name, life.model, {"adapter " + entry.name});
  if (failures_.size() >= kFailuresMax) failures_.clear();
  failures_[{life.model.name, entry.name}].note(error, {entry.file}, parts_.clock.monotonic_ns());
}

// Another file is another matter.
std::optional<Error> Adapters::failed_before(const Life& life, const AdapterEntry& entry) {
  const auto found = failures_.find({life.model.name, entry.name});
  if (found == failures_.end()) return std::nullopt;
  if (!found->second.are_of({entry.file})) {
    failures_.erase(found);
    return std::nullopt;
  }
  if (!found->second.must_wait(parts_.clock.monotonic_ns())) return std::nullopt;
  const Error& why = found->second.why();
  return Error{why.code,
               "adapter '" + entry.name + "' cannot be used with model '" + life.model.name +
                   "': " + why.message,
               "lora"};
}

// ---- giving one up ------------------------------------------------------------------------------

bool Adapters::may_go(const AdapterOfLife& adapter) const {
  if (!adapter.users.empty() || adapter.leaves) return false;
  return adapter.wanted_ns == 0 || parts_.clock.monotonic_ns() - adapter.wanted_ns >= kWantedNs;
}

// Of those that nobody uses; null: none.
AdapterOfLife* Adapters::least_used(Life& life) const {
  AdapterOfLife* least = nullptr;
  for (AdapterOfLife& adapter : life.adapters.loaded) {
    if (!may_go(adapter)) continue;
    if (least == nullptr || adapter.last_used_ns < least->last_used_ns) least = &adapter;
  }
  return least;
}

void Adapters::unload(Life& life, AdapterOfLife& adapter) {
  ASSERT(life.adapters.step == Step::kNone && adapter.users.empty());
  life.adapters.step = Step::kUnloads;
  life.adapters.ordered_ns = parts_.clock.monotonic_ns();
  adapter.leaves = true;
  life.link->unload_adapter({adapter.sha256});
}

void Adapters::on_unloaded(Life& life, const ipc::AdapterReport& report) {
  auto& loaded = life.adapters.loaded;
  const auto adapter =
      std::find_if(loaded.begin(), loaded.end(), [](const AdapterOfLife& a) { return a.leaves; });
  ASSERT(adapter != loaded.end());
  if (report.error) {  // a request of it is not quite gone
    adapter->leaves = false;
    adapter->last_used_ns = adapter->wanted_ns = parts_.clock.monotonic_ns();
  } else {
    log::info("an adapter is unloaded",
              {{"model", life.model.name}, {"adapter", adapter->entry.name}});
    record_unload(adapter->load_record, std::string(ledger::unload_reason::kReplaced));
    loaded.erase(adapter);
    if (loaded.empty()) life.adapters.compute.release();
  }
  rest(life);
}

void Adapters::record_unload(std::uint64_t load_record, std::string reason) {
  ++records_pending_;
  parts_.ledger.append(ledger::RecordType::kModelUnload, records::model_unload(load_record, reason),
                       [this, post = parts_.post](const Result<ledger::Committed>& result) {
                         post([this, result] {
                           --records_pending_;
                           if (!result) {
                             log::error("the end of an adapter is not recorded",
                                        {{"reason", result.error().message}});
                           }
                           parts_.less_to_wait_for();
                         });
                       });
}

std::uint64_t Adapters::leaving() const {
  std::uint64_t bytes = 0;
  for (const Life* const life : parts_.models.lives()) {
    if (life->phase != Phase::kReady) continue;  // all of it leaves
    for (const AdapterOfLife& adapter : life->adapters.loaded) {
      if (adapter.leaves) bytes += adapter.lease.bytes();
    }
  }
  return bytes;
}

std::uint64_t Adapters::unused() const {
  std::uint64_t bytes = 0;
  for (const Life* const life : parts_.models.lives()) {
    if (life->phase != Phase::kReady || life->adapters.step != Step::kNone) continue;
    for (const AdapterOfLife& adapter : life->adapters.loaded) {
      if (may_go(adapter)) bytes += adapter.lease.bytes();
    }
  }
  return bytes;
}

// Those first that nobody has used for longest, of all lives that are not busy with one.
std::uint64_t Adapters::give_way(std::uint64_t bytes) {
  std::uint64_t freed = leaving();
  while (freed < bytes) {
    Life* from = nullptr;
    AdapterOfLife* least = nullptr;
    for (Life* const life : parts_.models.lives()) {
      if (life->phase != Phase::kReady || life->adapters.step != Step::kNone) continue;
      AdapterOfLife* const own = least_used(*life);
      if (own == nullptr || (least != nullptr && own->last_used_ns >= least->last_used_ns))
        continue;
      from = life;
      least = own;
    }
    if (least == nullptr) break;
    freed += least->lease.bytes();
    unload(*from, *least);
  }
  return freed;
}

// Its bytes are the copier's until that says that it is done with them.
void Adapters::give_up_copy(Life& life) {
  LifeAdapters& all = life.adapters;
  *all.copy_given_up = true;
  given_up_.emplace(all.copy, std::move(all.coming->lease));
}

void Adapters::check_copy(Life& life) {
  LifeAdapters& all = life.adapters;
  const std::int64_t now = parts_.clock.monotonic_ns();
  const std::uint64_t progress = parts_.copier->progress();
  if (progress != all.progress) {
    all.progress = progress;
    all.ordered_ns = now;
  } else if (now - all.ordered_ns >= kStalledNs) {
    give_up_copy(life);
    fail(life, {Code::kIo, "the disk of its file does not answer; check it, and try again"});
  }
}

std::optional<Error> Adapters::check_health(Life& life) {
  const LifeAdapters& all = life.adapters;
  if (all.step == Step::kCopies) check_copy(life);
  if (all.step != Step::kLoads && all.step != Step::kUnloads) return std::nullopt;
  if (parts_.clock.monotonic_ns() - all.ordered_ns < kLoadMaxNs) return std::nullopt;
  return Error{Code::kWorkerDied, "the worker does not come to an end with an adapter"};
}

// ---- the end of a life --------------------------------------------------------------------------

void Adapters::ended(Life& life, bool from_inside) {
  LifeAdapters& all = life.adapters;
  const std::string reason = life.unload_reason.empty()
                                 ? std::string(ledger::unload_reason::kWorkerDied)
                                 : life.unload_reason;
  if (from_inside && all.step == Step::kLoads) {
    note_failure(life, all.coming->entry,
                 {Code::kModelCorrupt, "the worker ended while it loaded it"});
  }
  if (all.step == Step::kCopies) give_up_copy(life);
  drop_all(all, reason);
  all.coming.reset();
  all.step = Step::kNone;
}

void Adapters::leave(Life& life, std::vector<memory::Lease>& to) {
  LifeAdapters& all = life.adapters;
  for (AdapterOfLife& adapter : all.loaded) to.push_back(std::move(adapter.lease));
  // What is being copied is in memory of ours.
  if (all.coming && all.step != Step::kCopies) to.push_back(std::move(all.coming->lease));
  to.push_back(std::move(all.compute));
}

void Adapters::parked(Life& life, std::string_view reason) {
  ASSERT(life.adapters.step == Step::kNone);
  drop_all(life.adapters, std::string(reason));
}

void Adapters::drop_all(LifeAdapters& all, const std::string& reason) {
  for (const AdapterOfLife& adapter : all.loaded) record_unload(adapter.load_record, reason);
  all.loaded.clear();
  all.compute.release();
}

}  // namespace aioss::runtime
