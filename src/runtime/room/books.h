// The books of memory (memory/pool.h), kept up to date: what lives and models have of it, as
// workers and the system say, how much they may have, and when the machine is short. Who gets room
// and who gives way is Room's to choose (room.h). Runtime thread only.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "memory/pool.h"
#include "os/pressure.h"
#include "runtime/calls/memory_report.h"
#include "runtime/models/model_life.h"
#include "runtime/room/memory_gauges.h"
#include "runtime/room/prefix_custody.h"
#include "runtime/settings/gateway_options.h"

namespace aioss::runtime {

// The book of the machine's own memory, as those of GPUs are named by their devices.
inline const std::string kHostBook(memory::kHost);

class ModelTable;

class Books final {
 public:
  // All outlive it. Leases of models and lives end before it.
  struct Parts {
    const GatewayOptions& options;
    const Clock& clock;
    MetricRegistry& metrics;
    memory::Pool& pool;
    ModelTable& models;
    PrefixCustody& prefixes;
  };
  explicit Books(const Parts& parts);

  // What workers and the system say now, and the limit that follows from it.
  void update();
  // What a worker that is to be started may have of caches.
  void limit_caches(Life& life);
  // Its process has ended, or will at some time that nobody knows. `keeps_room`: the next life gets
  // what it had, so nobody else does meanwhile.
  void leave(Life& life, const LinkEnded& ended, bool keeps_room);
  void shrink(Life& life);     // it is parked: it has no session any more
  void look_after_unreaped();  // whether processes that outlived their links have ended

  // States of prompts of models that have no worker: nobody needs them now.
  std::uint64_t kept_prefixes() const;
  // At least so many bytes of them, those first whose models were not used for longest. Returns
  // what that freed.
  std::uint64_t drop_kept_prefixes(std::uint64_t bytes);

  struct Shortage {          // that somebody has to give way for
    std::uint64_t over = 0;  // in use beyond what may be
    bool pressed = false;    // everybody waits for memory, or the kernel has killed for it
    unsigned stalled_percent = 0;
  };
  // Once a second. Says each shortage some seconds apart, so that what was done is felt.
  std::optional<Shortage> shortage(std::int64_t now_ns);

  // `parks`: it keeps its weights, and what it gives back is what counts.
  void note_eviction(const Life& life, std::string_view reason, std::vector<std::string> details,
                     bool parks = false);
  // For the books' page and the gauges; whoever asks adds the lives that wait for room, and per
  // model what else is known of it.
  MemoryReport report();
  std::uint64_t bytes_of_workers() const;

 private:
  std::uint64_t follow(Model& model);
  std::uint64_t follow_prefixes(Model& model);
  std::uint64_t follow(Life& life, std::uint64_t prefixes);
  void open(const std::string& holder, memory::Lease& lease, memory::Kind kind);
  void set_host_limit(std::uint64_t held);
  bool is_under_pressure();

  const Parts parts_;
  memory::Pool& pool_;
  ModelTable& models_;
  std::uint64_t host_usable_ = 0, host_reserve_ = 0;  // as the system last said
  std::optional<os::Pressure> pressure_;              // likewise
  unsigned seconds_over_ = 0;  // one after another in which more was in use than may be
  std::int64_t said_short_ns_ = 0;
  std::deque<Eviction> evictions_;  // the last kEvictionsShown
  std::uint64_t evictions_total_ = 0;
  struct Unreaped {  // a process that outlived its link, and what it still has
    std::shared_ptr<os::Child> child;
    std::vector<memory::Lease> leases;
  };
  std::vector<Unreaped> unreaped_;
  MemoryGauges gauges_;
};

}  // namespace aioss::runtime
