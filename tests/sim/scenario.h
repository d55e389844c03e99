// What a run is about, drawn from its seed before anything happens: how the server is set up, which
// clients come when and how they read, and what goes wrong.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ipc/messages.h"

namespace aioss::sim {

enum class Reader : std::uint8_t {
  kFast,        // reads what there is
  kSlow,        // so many bytes a second
  kNever,       // never; given up by the server after two minutes
  kVanishes,    // is gone at some moment
  kHalfCloses,  // shuts its side at some moment, and reads to the end
  kCollects,    // no stream: the answer in one piece
};

struct ClientPlan {
  std::uint32_t number = 0;
  Reader reader = Reader::kFast;
  std::string tenant, user, model;
  std::int64_t arrives_ns = 0;  // from the beginning
  std::int64_t leaves_ns = 0;   // from its arrival
  std::uint64_t bytes_a_second = 0;
  ipc::Submit request;     // without id, tenant and credit
  bool is_poison = false;  // ends every worker that computes it
  bool fails = false;      // the engine fails over it
};

enum class Trouble : std::uint8_t {
  kKill,         // SIGKILL from outside
  kCrash,        // SIGSEGV, between two frames or in the middle of a step
  kHang,         // the whole worker says nothing any more
  kStall,        // one engine call takes very long
  kSlowDisk,     // for a while
  kLowSpace,     // for a while: the ledger takes ends only
  kNoSpace,      // for a while: it takes nothing
  kFileChanged,  // the model's, while it is loaded
  kWallClock,    // is set
  kBadLoad,      // the next load fails, or its worker dies
};
struct TroublePlan {
  Trouble what{};
  std::int64_t at_ns = 0;  // from the beginning
  std::int64_t lasts_ns = 0;
};

enum class Ending : std::uint8_t {
  kDrained,   // every request has ended
  kShutDown,  // in the middle: what runs is aborted
  kDiskDies,  // in the middle: nothing can be written any more; then the machine starts again
};

struct Scenario {
  std::uint64_t seed = 0;
  ipc::Profile profile = ipc::Profile::kFast;
  bool sealed = false;
  std::uint32_t streams = 2, cells = 1024, queue_max = 16, chunk_tokens = 0;
  std::uint64_t spill_bytes = 0, prefix_bytes = 0;
  bool overcommit = false, speculation = false;
  std::uint32_t models = 1, workers_max = 1;
  std::uint64_t memory_max = 0;            // of all workers; 0: there is enough. See model_bytes()
  std::int64_t call_ns = 0, token_ns = 0;  // of the engine
  std::vector<ClientPlan> clients;
  std::vector<TroublePlan> troubles;
  Ending ending = Ending::kDrained;
  std::int64_t ends_ns = 0;  // from the beginning, unless kDrained

  bool has(Trouble what) const;
  static Scenario draw(std::uint64_t seed);
  std::string describe() const;
};

std::string model_name(std::uint32_t number);
// What its worker is planned to take: more than any other's share of what may be drawn.
std::uint64_t model_bytes(std::uint32_t number);

}  // namespace aioss::sim
