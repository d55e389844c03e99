// Adapters: an engine call holds sequences of one set of them. See scheduler.h.
//
// Sets that have something to compute take turns, in a fixed circle: a turn is at least one call,
// and is over after kCallsOfATurn calls or options_.adapter_turn_ns, if another set has something
// to compute; changing the set costs an engine time. So a decode step of each set comes round,
// whoever asks for how many sets: of many sequences in one set and a lone one in another, each gets
// about as many tokens, and a stream waits for at most a turn of each other set.
#include <algorithm>
#include <vector>

#include "base/assert.h"
#include "worker/scheduler.h"

namespace aioss::worker {
namespace {

constexpr std::uint32_t kCallsOfATurn = 8;

}  // namespace

bool Scheduler::in_turn(const Sequence& sequence) const {
  return sequence.request.adapters.key == turn_of_;
}

bool Scheduler::may_run_now(const Sequence* sequence) const {
  return may_run(sequence) && in_turn(*sequence);
}

// Keys of those that could compute something now, ascending.
std::vector<std::uint64_t> Scheduler::sets_at_work() const {
  std::vector<std::uint64_t> keys;
  const auto add = [&](const Sequence& sequence) {
    const std::uint64_t key = sequence.request.adapters.key;
    const auto at = std::lower_bound(keys.begin(), keys.end(), key);
    if (at == keys.end() || *at != key) keys.insert(at, key);
  };
  for (const Sequence* const sequence : streams_) {
    if (may_run(sequence)) add(*sequence);
  }
  for (const Sequence* const sequence : prefilling_) add(*sequence);
  return keys;
}

void Scheduler::choose_set() {
  const std::vector<std::uint64_t> keys = sets_at_work();
  if (keys.empty()) return;
  const std::int64_t now = clock_.monotonic_ns();
  const bool there = std::binary_search(keys.begin(), keys.end(), turn_of_);
  const bool over = turn_calls_ >= kCallsOfATurn ||
                    (turn_calls_ > 0 && now - turn_began_ns_ >= options_.adapter_turn_ns);
  if (there && (keys.size() == 1 || !over)) return;
  const auto next = std::upper_bound(keys.begin(), keys.end(), turn_of_);
  turn_of_ = next != keys.end() ? *next : keys.front();
  turn_calls_ = 0;
  turn_began_ns_ = now;
}

// Those that prefill and have the turn, in order of admission.
std::vector<Sequence*> Scheduler::prefilling_now() const {
  std::vector<Sequence*> out;
  std::copy_if(prefilling_.begin(), prefilling_.end(), std::back_inserter(out),
               [this](const Sequence* sequence) { return in_turn(*sequence); });
  return out;
}

// Where a sequence that comes gets its stream: gaps between those of a set cost graphs, so it goes
// beside its own. The base model's grow from the lowest on, each other set's first one is far away.
std::int32_t Scheduler::stream_for(const Sequence& sequence) const {
  const std::uint64_t key = sequence.request.adapters.key;
  const auto size = static_cast<std::int32_t>(streams_.size());
  const auto own = [&](std::int32_t i) {
    if (i < 0 || i >= size) return false;
    const Sequence* const other = streams_[static_cast<std::size_t>(i)];
    return other != nullptr && other->request.adapters.key == key;
  };
  const std::int32_t lowest = lowest_free_stream();
  const bool alone = std::all_of(streams_.begin(), streams_.end(), [&](const Sequence* s) {
    return s == nullptr || s->request.adapters.key == key;
  });
  if (alone) return lowest;
  std::int32_t highest = kNoStream;
  for (std::int32_t i = 0; i < size; ++i) {
    if (streams_[static_cast<std::size_t>(i)] != nullptr) continue;
    if (own(i - 1) || own(i + 1)) return i;
    highest = i;
  }
  return key == 0 ? lowest : highest;
}

ipc::AdapterReport Scheduler::load_adapter(const ipc::LoadAdapter& wanted) {
  return adapters_->load(wanted);
}

ipc::AdapterReport Scheduler::unload_adapter(const ipc::UnloadAdapter& wanted) {
  return adapters_->unload(wanted.adapter);
}

}  // namespace aioss::worker
