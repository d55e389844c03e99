// The books of memory as they are shown: GET /admin/memory. Bytes. Values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "memory/pool.h"
#include "os/pressure.h"

namespace aioss::runtime {

struct MemoryOfModel {
  memory::Holding holding;  // by the name in the books
  std::string model;        // whose it is; the holder's name, if nobody knows it
  // "cold", "loading", "ready", "warm", "stopping"; of one that takes another's place, "coming",
  // and of that other one "leaving".
  std::string state;
  std::string stays;   // why it would not be evicted now: memory::name(Stays); "": it could be
  bool exact = false;  // planned by a dry run, not by the file's size
  std::int64_t unused_ms = 0;      // since its last request
  std::int64_t restore_ms = 0;     // that its last load took
  std::uint64_t parked_bytes = 0;  // that parking it would free; 0: it is not to be parked
  std::int64_t wake_ms = 0;        // that coming back from there took last; 0: not known
  std::int64_t priority = 0;       // the lower go first
};

struct MemoryOfDevice {
  std::string name;
  memory::Balance balance;
  std::vector<MemoryOfModel> models;
};

struct Eviction {
  std::int64_t wall_ns = 0;
  std::string model, reason;         // the reason of MODEL_UNLOAD
  std::uint64_t bytes = 0;           // that it had
  std::vector<std::string> details;  // of the DECISION
  bool parked = false;               // it kept its weights
};
inline constexpr std::size_t kEvictionsShown = 32;

struct MemoryReport {
  std::uint64_t memory_max = 0;  // the operator's limit; 0: none
  std::uint64_t usable = 0;      // that the system says can be had; 0: it does not say
  std::uint64_t reserve = 0;     // left to others
  os::Pressure pressure;
  std::vector<MemoryOfDevice> devices;
  std::vector<std::string> waiting;  // models that wait for room, in their order
  std::vector<Eviction> evictions;   // the last ones, newest last
  std::uint64_t evictions_total = 0;
};

}  // namespace aioss::runtime
