// What one model has to do and how it is getting on, for /admin/queue, `aioss top` and /health. As
// its worker last said, about a second ago. A value.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace aioss::runtime {

// What decides how long a model stays loaded. Wall clock, seconds.
struct Residence {
  bool pinned = false;
  bool unloading = false;                   // once it is idle, by order
  std::optional<std::int64_t> idle_unix_s;  // since when; nothing while it works or is not loaded
  std::optional<std::int64_t> expires_unix_s;  // likewise, and nothing if it never does
  std::optional<std::uint32_t> retry_seconds;  // of a failed load: until the next may be tried
};

struct TenantRequests {
  std::string name;
  std::uint64_t number = 0;  // as workers know it
  std::uint32_t waiting = 0, running = 0;
  std::uint64_t tokens = 0;  // computed for it, since it has had requests here
};

struct ModelLoad {
  std::string name, state;
  std::string engine;  // that computes it; "": it has no worker that is ready
  float load_fraction = 0;
  std::uint32_t streams = 0, cells_per_stream = 0;
  std::uint32_t running = 0;                                 // sequences
  std::uint32_t waiting_interactive = 0, waiting_batch = 0;  // requests, in the worker
  std::uint32_t waiting_for_load = 0;                        // and in the gateway
  std::uint32_t parked = 0, spilled = 0;                     // sequences
  std::uint64_t spilled_bytes = 0, preempted = 0;
  double tokens_per_second = 0;                    // generated
  std::uint64_t memory_bytes = 0;                  // of the worker process
  std::uint64_t decode_step_ns = 0, chunk_ns = 0;  // 0: not measured yet
  std::optional<std::uint32_t> wait_seconds;       // of a request that comes now
  std::vector<TenantRequests> tenants;             // the most loaded
  Residence residence;
  std::string error;  // of the last load, if it failed

  bool has_work() const {
    return running + waiting_interactive + waiting_batch + waiting_for_load + spilled > 0;
  }
};

}  // namespace aioss::runtime
